"""Computes the writes of the next transition in advance.

At midnight the bounds of every tenant change in the same second. They are known since the last reconcile, so that
second costs one write for each autoscaler and no read; the reconcile follows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from tts_operator.desired.autoscaler import autoscaler
from tts_operator.objects.diff import difference
from tts_operator.objects.ownership import controlled_by
from tts_operator.plan.actions import Apply
from tts_operator.resolve.resolve import resolve
from tts_operator.resolve.resolved import Resolved


@dataclass(frozen=True)
class Requeue:
    """When to reconcile a tenant again even without an event."""

    at: datetime
    transition: bool = False
    """Whether it is a transition of the schedule, or the beginning of a pre-warming."""
    precompute: tuple[Apply, ...] = ()
    """Writes of that instant, valid unless the tenant, its models or its children change before."""


def next_requeue(resolved: Resolved) -> Requeue | None:
    """Next requeue of a tenant, with the writes of its transition if it is one; None for never."""
    if resolved.requeue_at is None:
        return None
    opens_at = resolved.next_transition.at if resolved.next_transition else None
    warms_at = resolved.pre_warmed.changes_at if resolved.pre_warmed else None
    if resolved.requeue_at not in {opens_at, warms_at} or not resolved.followed:
        return Requeue(resolved.requeue_at)
    then = resolve(resolved.observed, resolved.settings, resolved.requeue_at)
    return Requeue(resolved.requeue_at, transition=True, precompute=tuple(precompute(resolved, then)))


def precompute(now: Resolved, then: Resolved) -> Iterator[Apply]:
    """Apply of each existing autoscaler that differs between now and then."""
    later = {pool.name: pool for pool in then.pools}
    for pool in now.pools:
        if pool.retiring or pool.name not in later:
            continue
        before, after = autoscaler(now, pool), autoscaler(then, later[pool.name])
        live = now.observed.children.get(after.ref) if after is not None else None
        if before is None or after is None or live is None or not controlled_by(live, now.uid):
            continue
        if why := difference(after.body, before.body):
            yield Apply(after.of_uid(live), why)
