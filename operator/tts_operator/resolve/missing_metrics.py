"""What to do while an HPA cannot read its metric.

A lowered minimum brings nothing down without metrics, a lowered maximum does. So after ten minutes without metrics the
maximum is held at the minimum: replicas follow the calendar, if not the load.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tts_operator.calendar.bounds import Bounds
from tts_operator.calendar.calendar import changes
from tts_operator.objects import fields
from tts_operator.snapshot import lookup
from tts_operator.snapshot.observed import Observed

PATIENCE = timedelta(minutes=10)
"""Longer than a metrics server's restart."""


@dataclass(frozen=True)
class MissingMetrics:
    """The bounds to apply."""

    bounds: Bounds
    pinned: bool = False
    """They are held together."""
    requeue_at: datetime | None = None
    """When it is no longer too early to tell."""


def hold(observed: Observed, pool: str, bounds: Bounds, now: datetime) -> MissingMetrics:
    """The window's bounds, held together where the HPA has been blind for PATIENCE, and since the window opened."""
    since = blind_since(observed, pool)
    if since is None or bounds.min_replicas == bounds.max_replicas or observed.tenant is None:
        return MissingMetrics(bounds)
    schedule = observed.tenant.spec.schedule
    opened = max((change.at for change in changes(schedule, now - PATIENCE, now + timedelta(seconds=1))), default=since)
    held_from = max(since, opened) + PATIENCE
    if now < held_from:
        return MissingMetrics(bounds, requeue_at=held_from)
    return MissingMetrics(Bounds(bounds.min_replicas, bounds.min_replicas), pinned=True)


def blind_since(observed: Observed, pool: str) -> datetime | None:
    """Since when the pool's HPA has said that it reads no metric; None if it reads, or rests at zero replicas."""
    active = fields.condition(lookup.autoscaler(observed, pool), "ScalingActive")
    if active is None or active.get("status") != "False" or active.get("reason") == "ScalingDisabled":
        return None
    return fields.instant(active.get("lastTransitionTime"))
