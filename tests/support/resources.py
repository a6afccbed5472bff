"""TTSTenant and TTSModel objects: a test names only the fields that matter to it, as YAML spells them.

`tenant_body`, `model_body` and `calendar_body` are what a person applies, `stored` is what the API server makes of it,
`tenant`, `model` and `calendar` are the typed objects that the operator reads.
"""

from __future__ import annotations

from typing import Any

from tts_operator.api import TTSCalendar, TTSModel, TTSTenant
from tts_operator.objects.keys import Key
from tts_operator.objects.names import API_VERSION

Object = dict[str, Any]

KEY = Key("team-acme", "acme")
UID = "5f0c2d9e-0000-4000-8000-000000000001"


def tenant_body(*models: str | Object, key: Key = KEY, **spec: Any) -> Object:
    """A tenant with these models, by name or as entries of `spec.models`; by default with `espeak`."""
    entries = [entry if isinstance(entry, dict) else {"name": entry} for entry in models or ("espeak",)]
    return {
        "apiVersion": API_VERSION,
        "kind": "TTSTenant",
        "metadata": {"name": key.name, "namespace": key.namespace},
        "spec": {"models": entries, **spec},
    }


def model_body(name: str = "espeak", **spec: Any) -> Object:
    """An eSpeak NG model with an English and a German voice."""
    return {
        "apiVersion": API_VERSION,
        "kind": "TTSModel",
        "metadata": {"name": name},
        "spec": {
            "engine": "Espeak",
            "languages": ["en", "de"],
            "voices": [{"name": "en-us", "languages": ["en"]}, {"name": "de"}],
            "sampleRateHz": 22050,
            "precisions": [precision()],
            **spec,
        },
    }


def calendar_body(name: str, *dates: Object) -> Object:
    """A calendar with these dates."""
    return {
        "apiVersion": API_VERSION,
        "kind": "TTSCalendar",
        "metadata": {"name": name},
        "spec": {"dates": list(dates)},
    }


def precision(name: str = "fp32", **limits: str) -> Object:
    """An entry of `spec.precisions`; `limits` adds to what is limited."""
    return {
        "name": name,
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"cpu": "1", "memory": "448Mi", **limits},
        },
    }


def stored(body: Object, uid: str = UID, generation: int = 4) -> Object:
    """The object with the metadata that the API server adds."""
    return {**body, "metadata": {**body["metadata"], "uid": uid, "generation": generation}}


def tenant(*models: str | Object, key: Key = KEY, **spec: Any) -> TTSTenant:
    """A tenant as the operator reads it."""
    return TTSTenant.model_validate(stored(tenant_body(*models, key=key, **spec)))


def model(name: str = "espeak", **spec: Any) -> TTSModel:
    """A model as the operator reads it."""
    return TTSModel.model_validate(stored(model_body(name, **spec), uid=f"uid-of-{name}", generation=1))


def calendar(name: str, *dates: Object) -> TTSCalendar:
    """A calendar as the operator reads it."""
    return TTSCalendar.model_validate(stored(calendar_body(name, *dates), uid=f"uid-of-{name}", generation=1))
