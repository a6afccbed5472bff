"""Which valid fields this version does not act on yet.

A tenant or model that sets one is not accepted: nothing is silently ignored."""

from collections.abc import Iterator

from tts_operator.api.autoscaling import Autoscaling, MetricType, Provider
from tts_operator.api.model import Engine, TTSModelSpec
from tts_operator.api.schedule import ScaleBounds, Schedule
from tts_operator.api.tenant import Auth, AuthMode, Isolation, Quota, TTSTenantSpec

LATER_QUOTAS = (
    ("requests_per_day", "requestsPerDay"),
    ("concurrent_requests", "concurrentRequests"),
    ("audio_seconds_per_day", "audioSecondsPerDay"),
    ("characters_per_day", "charactersPerDay"),
    ("per_client_requests_per_minute", "perClientRequestsPerMinute"),
)


def unsupported_in_tenant(spec: TTSTenantSpec) -> Iterator[str]:
    """A sentence for each field set to what is not supported yet, in the order of the spec."""
    if spec.isolation is Isolation.SHARED:
        yield "spec.isolation Shared"
    for index, model in enumerate(spec.models):
        if model.min_replicas == 0:
            yield f"spec.models[{index}].minReplicas 0"
    if spec.schedule is not None:
        yield from _schedule(spec.schedule)
    if spec.autoscaling is not None:
        yield from _autoscaling(spec.autoscaling)
    if spec.quota is not None:
        yield from _quota(spec.quota)
    if spec.auth is not None:
        yield from _auth(spec.auth)
    for name, is_set in (
        ("storage.s3", spec.storage is not None and spec.storage.s3 is not None),
        ("redis", spec.redis is not None),
        ("cache", spec.cache is not None and spec.cache.enabled),
        ("exposure", spec.exposure is not None),
        ("allowExternal", spec.allow_external),
        ("preventDeletion", spec.prevent_deletion),
    ):
        if is_set:
            yield f"spec.{name}"


def unsupported_in_model(spec: TTSModelSpec) -> Iterator[str]:
    """The same for a model."""
    if spec.engine is not Engine.ESPEAK:
        yield f"spec.engine {spec.engine}"
    if any(voice.adapter for voice in spec.voices) or spec.adapters:
        yield "spec.adapters"
    for name, is_set in (
        ("accelerator", spec.accelerator is not None),
        ("fallback", spec.fallback is not None),
        ("pool", spec.pool is not None),
    ):
        if is_set:
            yield f"spec.{name}"


def _schedule(schedule: Schedule) -> Iterator[str]:
    if schedule.pre_warm_seconds:
        yield "spec.schedule.preWarmSeconds"
    lists: tuple[tuple[str, tuple[ScaleBounds, ...]], ...] = (
        ("default", (schedule.default,) if schedule.default else ()),
        ("windows", schedule.windows),
        ("exceptions", schedule.exceptions),
    )
    for name, bounds in lists:
        if any(each.min_replicas == 0 for each in bounds):
            yield f"spec.schedule.{name} with minReplicas 0"


def _autoscaling(autoscaling: Autoscaling) -> Iterator[str]:
    if autoscaling.provider is not Provider.HPA:
        yield f"spec.autoscaling.provider {autoscaling.provider}"
    for metric in autoscaling.metrics:
        if metric.type is not MetricType.CPU:
            yield f"spec.autoscaling.metrics type {metric.type}"


def _quota(quota: Quota) -> Iterator[str]:
    for attribute, name in LATER_QUOTAS:
        if getattr(quota, attribute) is not None:
            yield f"spec.quota.{name}"


def _auth(auth: Auth) -> Iterator[str]:
    if AuthMode.JWT in auth.modes:
        yield "spec.auth.modes JWT"
    if auth.external is not None:
        yield "spec.auth.external"
