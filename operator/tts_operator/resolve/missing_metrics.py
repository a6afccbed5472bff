"""Replica bounds while an HPA cannot read its metric.

Without metrics an HPA still enforces its bounds: a lower maximum removes replicas, a lower minimum does not. So after
ten minutes without metrics the maximum is pinned to the minimum, and replicas follow the schedule, if not the load.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tts_operator.calendar.bounds import Bounds
from tts_operator.calendar.calendar import changes
from tts_operator.objects import fields
from tts_operator.snapshot import lookup
from tts_operator.snapshot.observed import Observed

GRACE_PERIOD = timedelta(minutes=10)
"""Time without metrics before the bounds are pinned: longer than a restart of the metrics server."""


@dataclass(frozen=True)
class MissingMetrics:
    """Effect of missing metrics on a pool's bounds."""

    bounds: Bounds
    """Bounds to apply."""
    pinned: bool = False
    """Whether maxReplicas is pinned to minReplicas."""
    requeue_at: datetime | None = None
    """End of the grace period; None if it is over, or metrics are not missing."""


def missing_metrics(observed: Observed, pool: str, bounds: Bounds, now: datetime) -> MissingMetrics:
    """Pin the window's bounds after GRACE_PERIOD without metrics, of which none is before the window's start."""
    since = metrics_missing_since(observed, pool)
    if since is None or bounds.min_replicas == bounds.max_replicas or observed.tenant is None:
        return MissingMetrics(bounds)
    schedule = observed.tenant.spec.schedule
    recent = changes(schedule, now - GRACE_PERIOD, now + timedelta(seconds=1))
    window_start = max((change.at for change in recent), default=since)
    pinned_from = max(since, window_start) + GRACE_PERIOD
    if now < pinned_from:
        return MissingMetrics(bounds, requeue_at=pinned_from)
    return MissingMetrics(Bounds(bounds.min_replicas, bounds.min_replicas), pinned=True)


def metrics_missing_since(observed: Observed, pool: str) -> datetime | None:
    """Time since when the pool's HPA has reported no metric; None if it has one, or is disabled at zero replicas."""
    active = fields.condition(lookup.autoscaler(observed, pool), "ScalingActive")
    if active is None or active.get("status") != "False" or active.get("reason") == "ScalingDisabled":
        return None
    return fields.instant(active.get("lastTransitionTime"))
