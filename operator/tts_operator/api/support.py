"""Valid fields that this version does not support yet.

A tenant or a model that sets one is not accepted: nothing is silently ignored. The tables below are the only list; the
descriptions in the CRDs and the reference pages are generated from it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from tts_operator.api.autoscaling import MetricType, Provider
from tts_operator.api.model import Engine, TTSModelSpec
from tts_operator.api.schedule import ScaleBounds, Schedule
from tts_operator.api.tenant import Isolation, TTSTenantSpec

S = TypeVar("S")


@dataclass(frozen=True)
class UnsupportedField(Generic[S]):
    """A field, or some of its values, that this version does not support yet."""

    path: str
    """Path from the object's root, as in YAML; `[]` stands for each entry of a list."""
    values: tuple[str, ...]
    """Values that are not supported; empty for all."""
    is_set: Callable[[S], bool]
    supported: str = ""
    """The only supported value, named where that is shorter than the list of the others."""

    def __str__(self) -> str:
        values = f"other than {self.supported}" if self.supported else " or ".join(self.values)
        return f"{self.path} {values}".rstrip()


def unsupported_in_tenant(spec: TTSTenantSpec) -> Iterator[str]:
    """A phrase for each field of a tenant that is set and not supported: its path, and the values if others are."""
    return _phrases(TENANT, spec)


def unsupported_in_model(spec: TTSModelSpec) -> Iterator[str]:
    """A phrase for each field of a model that is set and not supported."""
    return _phrases(MODEL, spec)


def _phrases(table: Iterable[UnsupportedField[S]], spec: S) -> Iterator[str]:
    return (str(field) for field in table if field.is_set(spec))


def _zero_replicas(name: str, bounds: Callable[[Schedule], Sequence[ScaleBounds]]) -> UnsupportedField[TTSTenantSpec]:
    def has_zero(spec: TTSTenantSpec) -> bool:
        return spec.schedule is not None and any(part.min_replicas == 0 for part in bounds(spec.schedule))

    return UnsupportedField(f"spec.schedule.{name}.minReplicas", ("0",), has_zero)


TENANT: tuple[UnsupportedField[TTSTenantSpec], ...] = (
    UnsupportedField("spec.isolation", ("Shared",), lambda spec: spec.isolation is Isolation.SHARED),
    UnsupportedField(
        "spec.models[].minReplicas", ("0",), lambda spec: any(model.min_replicas == 0 for model in spec.models)
    ),
    _zero_replicas("default", lambda schedule: () if schedule.default is None else (schedule.default,)),
    _zero_replicas("windows[]", lambda schedule: schedule.windows),
    _zero_replicas("exceptions[]", lambda schedule: schedule.exceptions),
    UnsupportedField(
        "spec.schedule.preWarmSeconds",
        ("above 0",),
        lambda spec: spec.schedule is not None and bool(spec.schedule.pre_warm_seconds),
    ),
    UnsupportedField(
        "spec.autoscaling.provider",
        ("KEDA",),
        lambda spec: spec.autoscaling is not None and spec.autoscaling.provider is Provider.KEDA,
    ),
    UnsupportedField(
        "spec.autoscaling.metrics[].type",
        ("InFlight", "QueueDepth"),
        lambda spec: (
            spec.autoscaling is not None
            and any(metric.type is not MetricType.CPU for metric in spec.autoscaling.metrics)
        ),
        supported="CPU",
    ),
    UnsupportedField("spec.exposure", (), lambda spec: spec.exposure is not None),
    UnsupportedField("spec.allowExternal", ("true",), lambda spec: spec.allow_external),
    UnsupportedField("spec.preventDeletion", ("true",), lambda spec: spec.prevent_deletion),
)

MODEL: tuple[UnsupportedField[TTSModelSpec], ...] = (
    UnsupportedField(
        "spec.engine",
        tuple(str(engine) for engine in Engine if engine is not Engine.ESPEAK),
        lambda spec: spec.engine is not Engine.ESPEAK,
        supported="Espeak",
    ),
    UnsupportedField("spec.adapters", (), lambda spec: bool(spec.adapters)),
    UnsupportedField("spec.accelerator", (), lambda spec: spec.accelerator is not None),
    UnsupportedField("spec.pool", (), lambda spec: spec.pool is not None),
)
