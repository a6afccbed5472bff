"""Whether a pool's next pod comes before an old one goes, or takes its place.

A surge needs room for one more pod. On full nodes it would stay Pending for ever and hold the rollout; then an old pod
has to go first. Replacing costs a replica while it lasts, so it is never done to a pool of one.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from tts_operator.objects import fields
from tts_operator.objects.fields import EXCEEDED_QUOTA
from tts_operator.objects.manifest import Body
from tts_operator.snapshot import lookup
from tts_operator.snapshot.observed import Observed

PATIENCE = timedelta(seconds=120)
"""How long a surge pod may look for room."""


@dataclass(frozen=True)
class UpdateStrategy:
    """How a pool's pods are replaced now."""

    strategy: Literal["Surge", "Replace"]
    requeue_at: datetime | None = None
    """When a surge pod that finds no room will have waited long enough."""
    no_room: bool = False
    """A surge pod finds no room, and there is nothing to replace it with: it waits."""


def rollout(observed: Observed, pool: str, asked: Literal["Auto", "Surge", "Replace"], now: datetime) -> UpdateStrategy:
    """What applies now. Auto surges, and replaces where a surge has found no room for PATIENCE or is denied any."""
    found = lookup.deployment(observed, pool)
    if asked == "Replace":
        return UpdateStrategy("Replace")
    if found is None or not fields.rolling(found):
        return UpdateStrategy("Surge")
    since = unschedulable_since(observed, pool)
    denied = surge_denied(found)
    if asked == "Surge" or fields.replicas(found) < 2:
        return UpdateStrategy(
            "Surge", no_room=(denied or since is not None) and fields.count(found, "availableReplicas") > 0
        )
    if replacing(found) or denied or (since is not None and now >= since + PATIENCE):
        return UpdateStrategy("Replace")
    return UpdateStrategy("Surge", requeue_at=since + PATIENCE if since else None)


def replacing(found: Body) -> bool:
    """A rollout that began to replace goes on so: its surge pod is gone, and with it the reason."""
    rolling_update = (found["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    return rolling_update.get("maxSurge") in {0, "0", "0%"}


def surge_denied(found: Body) -> bool:
    """The namespace's ResourceQuota has no room for one pod more: waiting would not help."""
    failure = fields.condition(found, "ReplicaFailure")
    return failure is not None and failure.get("status") == "True" and EXCEEDED_QUOTA in failure.get("message", "")


def unschedulable_since(observed: Observed, pool: str) -> datetime | None:
    """Since when a pod of the pool has found no node."""
    moments = []
    for pod in lookup.pods_of(observed, pool):
        scheduled = fields.condition(pod, "PodScheduled")
        if scheduled and scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
            moments.append(fields.instant(scheduled.get("lastTransitionTime")))
    return min((moment for moment in moments if moment is not None), default=None)
