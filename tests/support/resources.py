"""Objects for tests, so that a test shows only the field that matters: `tenant("acme").of_tier("VIP").parsed`.

Every call returns a new builder. `body` is the object as YAML has it, `parsed` the typed one.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Generic, Self, TypeVar

from tts_operator.api import TTSModel, TTSTenant
from tts_operator.objects.names import API_VERSION

Body = dict[str, Any]
T = TypeVar("T", TTSModel, TTSTenant)

SMALL = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}}


@dataclass(frozen=True)
class Builder(Generic[T]):
    """What both resources have."""

    kind: type[T]
    metadata: Body
    spec: Body

    def named(self, name: str) -> Self:
        return replace(self, metadata={**self.metadata, "name": name})

    def with_uid(self, uid: str, generation: int = 1) -> Self:
        """As the API server stores it."""
        return replace(self, metadata={**self.metadata, "uid": uid, "generation": generation})

    def labelled(self, **labels: str) -> Self:
        return replace(self, metadata={**self.metadata, "labels": {**self.metadata.get("labels", {}), **labels}})

    def with_spec(self, **fields: Any) -> Self:
        """Fields as YAML spells them; each replaces what was there."""
        return replace(self, spec={**self.spec, **fields})

    @property
    def body(self) -> Body:
        """A copy: changing it changes no other."""
        return deepcopy(
            {
                "apiVersion": API_VERSION,
                "kind": self.kind.__name__,
                "metadata": self.metadata,
                "spec": self.spec,
            }
        )

    @property
    def parsed(self) -> T:
        return self.kind.model_validate(self.body)


@dataclass(frozen=True)
class TenantBuilder(Builder[TTSTenant]):
    """A tenant that speaks with one model, as everyone's first one does."""

    def of_tier(self, tier: str) -> Self:
        return self.with_spec(tier=tier)

    def speaking(self, *names: str) -> Self:
        """With these models and no others; the first is the default."""
        return self.with_spec(models=[{"name": name} for name in names])

    def also_speaking(self, name: str, **entry: Any) -> Self:
        return self.with_spec(models=[*self.spec["models"], {"name": name, **entry}])

    def scheduled(self, min_replicas: int = 1, max_replicas: int | None = None, **schedule: Any) -> Self:
        """With these bounds by default; windows, exceptions and timeZone by name."""
        bounds = {"minReplicas": min_replicas} | ({} if max_replicas is None else {"maxReplicas": max_replicas})
        return self.with_spec(schedule={"default": bounds, **schedule})

    def with_quota(self, **limits: int) -> Self:
        return self.with_spec(quota={**self.spec.get("quota", {}), **limits})

    def open_to_everyone(self) -> Self:
        return self.with_spec(auth={"modes": ["None"]})

    def suspended(self) -> Self:
        return self.with_spec(suspend=True)


@dataclass(frozen=True)
class ModelBuilder(Builder[TTSModel]):
    """A small eSpeak NG model with one English voice."""

    def running(self, image: str) -> Self:
        return self.with_spec(image=image)

    def with_precisions(self, *names: str, resources: Body | None = None) -> Self:
        return self.with_spec(precisions=[{"name": name, "resources": resources or SMALL} for name in names])


def tenant(name: str = "acme") -> TenantBuilder:
    """A Dedicated tenant in namespace `default` with model `espeak`, and nothing else set."""
    return TenantBuilder(TTSTenant, {"name": name, "namespace": "default"}, {"models": [{"name": "espeak"}]})


def model(name: str = "espeak") -> ModelBuilder:
    """A model with fp32 only, and nothing else set."""
    spec = {
        "engine": "Espeak",
        "languages": ["en"],
        "voices": [{"name": "en-us"}],
        "sampleRateHz": 22050,
        "precisions": [{"name": "fp32", "resources": SMALL}],
    }
    return ModelBuilder(TTSModel, {"name": name}, spec)
