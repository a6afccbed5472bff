"""What the next transition writes, worked out before it comes.

At midnight every tenant's bounds move in the same second. What they move to has been known since the last reconcile: so
that second costs one write for each HPA, without a read before it, and the reconcile that sees to the rest comes after.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from tts_operator.desired.horizontalpodautoscaler import horizontal_pod_autoscaler
from tts_operator.objects.diff import difference
from tts_operator.objects.manifest import Manifest
from tts_operator.plan.actions import Apply
from tts_operator.resolve.resolve import resolve
from tts_operator.resolve.resolved import Resolved
from tts_operator.snapshot import lookup


@dataclass(frozen=True)
class Requeue:
    """When to look at a tenant again even if nothing happens."""

    at: datetime
    transition: bool = False
    """That the schedule has something else to say then is the reason."""
    precompute: tuple[Apply, ...] = ()
    """Writes for that very instant, true unless the tenant, its models or its children change before."""


def next_requeue(resolved: Resolved) -> Requeue | None:
    """When the tenant is due next, and what that instant writes if it is a transition; None for never."""
    if resolved.requeue_at is None:
        return None
    transition = resolved.next_transition
    if transition is None or transition.at != resolved.requeue_at or resolved.refused is not None:
        return Requeue(resolved.requeue_at)
    then = resolve(resolved.observed, resolved.settings, transition.at)
    return Requeue(resolved.requeue_at, transition=True, precompute=tuple(precompute(resolved, then)))


def precompute(now: Resolved, then: Resolved) -> Iterator[Apply]:
    """One write for each HPA that exists and is to look otherwise at that instant than now."""
    later = {pool.name: pool for pool in then.pools}
    for pool in now.pools:
        found = lookup.autoscaler(now.observed, pool.name)
        if found is None or pool.retiring or pool.name not in later:
            continue
        today, tomorrow = horizontal_pod_autoscaler(now, pool), horizontal_pod_autoscaler(then, later[pool.name])
        if why := difference(tomorrow.body, today.body):
            yield Apply(only(tomorrow, str(found["metadata"]["uid"])), why)


def only(manifest: Manifest, uid: str) -> Manifest:
    """The same for the very object of this UID: applied after that one is gone it is a conflict, and makes none."""
    metadata = {**manifest.body["metadata"], "uid": uid}
    return replace(manifest, body={**manifest.body, "metadata": metadata})
