"""The last accepted spec, which applies while a later one is refused. It is in the status, which teams may not write.

It is judged again like any other spec: what the platform has forbidden since then is lowered or closed.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from tts_operator.api import TTSTenant
from tts_operator.api.status import MAX_SPEC_CHARACTERS
from tts_operator.objects import fields
from tts_operator.objects.manifest import Body
from tts_operator.snapshot.observed import Observed

ACCEPTED = "Accepted"


def spec_text(body: Body) -> str:
    """The stored spec as JSON, independent of the order of keys; empty if it is too long to be kept twice."""
    text = json.dumps(body.get("spec") or {}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text if len(text) <= MAX_SPEC_CHARACTERS else ""


def accepted_text(body: Body) -> str:
    """The spec that was accepted last, as JSON; empty if none is known.

    It may be the stored one: a change of the platform's settings or of the namespace's labels can refuse it later.
    """
    condition = fields.condition(body, ACCEPTED) or {}
    generation = int(body["metadata"].get("generation", 0))
    if condition.get("status") == "True" and condition.get("observedGeneration") == generation:
        return spec_text(body)
    return str((body.get("status") or {}).get("acceptedSpec") or "")


def accepted_tenant(body: Body) -> TTSTenant | None:
    """The tenant with the spec that was accepted last; None if none is known, or this version cannot read it."""
    spec = parsed(accepted_text(body))
    without_status = {name: part for name, part in body.items() if name != "status"}
    try:
        return TTSTenant.model_validate({**without_status, "spec": spec}) if spec else None
    except ValidationError:
        return None


def accepted_models(body: Body) -> frozenset[str]:
    """Models that the last accepted spec of a stored tenant names."""
    models = parsed(str((body.get("status") or {}).get("acceptedSpec") or "")).get("models")
    entries = models if isinstance(models, list) else []
    return frozenset(str(each["name"]) for each in entries if isinstance(each, Mapping) and "name" in each)


def with_tier(observed: Observed, tier: str) -> Observed:
    """The snapshot with another tier in the spec that is followed."""
    if observed.tenant is None:
        return observed
    spec = observed.tenant.spec
    lowered = spec.model_copy(update={"tier": type(spec.tier)(tier)})
    return replace(observed, tenant=observed.tenant.model_copy(update={"spec": lowered}))


def parsed(text: str) -> Mapping[str, Any]:
    """A spec from its JSON; empty if it is none."""
    try:
        spec = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return spec if isinstance(spec, dict) else {}
