"""Chooses between surging and replacing: whether a new pod starts before an old one ends, or in its place.

A surge needs capacity for one more pod. On full nodes that pod would stay Pending for ever and block the rollout; then
an old pod has to end first. Replacing runs one replica less meanwhile, so a pool of one replica never does it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from tts_operator.objects import fields
from tts_operator.objects.fields import EXCEEDED_QUOTA
from tts_operator.objects.manifest import Body
from tts_operator.snapshot import lookup
from tts_operator.snapshot.observed import Observed

SURGE_TIMEOUT = timedelta(seconds=120)
"""How long a surge pod may stay unschedulable."""


@dataclass(frozen=True)
class UpdateStrategy:
    """Update strategy of a pool's Deployment."""

    strategy: Literal["Surge", "Replace"]
    requeue_at: datetime | None = None
    """When an unschedulable surge pod reaches SURGE_TIMEOUT."""
    no_room: bool = False
    """A surge pod is unschedulable and the strategy may not change: old pods keep serving."""
    needs_cover: bool = False
    """The only replica can be replaced once another pool answers for it."""


def rollout(
    observed: Observed,
    pool: str,
    configured: Literal["Auto", "Surge", "Replace"],
    now: datetime,
    *,
    covered: bool = False,
) -> UpdateStrategy:
    """Strategy that applies now. Auto replaces once a surge pod was denied, or unschedulable for SURGE_TIMEOUT.

    `covered`: a fallback answers for the pool, so that even its only replica may go.
    """
    live = lookup.deployment(observed, pool)
    if configured == "Replace":
        return UpdateStrategy("Replace")
    if live is None or not fields.rolling(live):
        return UpdateStrategy("Surge")
    since = unschedulable_since(observed, pool)
    denied = surge_denied(live)
    late = denied or (since is not None and now >= since + SURGE_TIMEOUT)
    if configured == "Surge" or (fields.replicas(live) < 2 and not covered):
        return UpdateStrategy(
            "Surge",
            requeue_at=since + SURGE_TIMEOUT if since and not late and configured == "Auto" else None,
            no_room=(denied or since is not None) and fields.count(live, "availableReplicas") > 0,
            needs_cover=late and configured == "Auto",
        )
    if replacing(live) or late:
        return UpdateStrategy("Replace")
    return UpdateStrategy("Surge", requeue_at=since + SURGE_TIMEOUT if since else None)


def replacing(live: Body) -> bool:
    """Whether the Deployment replaces already. It keeps doing so: the unschedulable surge pod, the reason, is gone."""
    rolling_update = (live["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    return rolling_update.get("maxSurge") in {0, "0", "0%"}


def surge_denied(live: Body) -> bool:
    """Whether the namespace's ResourceQuota denied the surge pod: waiting would not help."""
    failure = fields.condition(live, "ReplicaFailure")
    return failure is not None and failure.get("status") == "True" and EXCEEDED_QUOTA in failure.get("message", "")


def unschedulable_since(observed: Observed, pool: str) -> datetime | None:
    """When the first unschedulable pod of the pool became so; None without one."""
    moments = []
    for pod in lookup.pods_of(observed, pool):
        scheduled = fields.condition(pod, "PodScheduled")
        if scheduled and scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
            moments.append(fields.instant(scheduled.get("lastTransitionTime")))
    return min((moment for moment in moments if moment is not None), default=None)
