"""Writes a tenant's status and its events."""

from collections.abc import Sequence
from datetime import datetime

from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import NotFound
from tts_operator.controller.event_recorder import EventRecorder
from tts_operator.objects.manifest import Body
from tts_operator.observe.reader import tenant_ref
from tts_operator.snapshot.observed import Observed
from tts_operator.status.claim import own_status
from tts_operator.status.deletion import blocked, deletion_status
from tts_operator.status.events import Event, events


async def report(
    cluster: Cluster,
    observed: Observed,
    after: Body,
    now: datetime,
    recorder: EventRecorder,
    *,
    repeated: Sequence[Event] = (),
) -> bool:
    """Write the status if it changed, in one request, and an event for each transition in it. Raises ClusterError.

    `repeated`: events to record even if the status is unchanged. Returns whether there was anything to write.
    """
    before = own_status(observed.status)
    told: list[Event] = []
    if after != before:
        try:
            await cluster.apply_status(tenant_ref(observed.key), observed.uid, after)
        except NotFound:
            return True  # it was deleted; a new tenant of its name has events of its own
        told = events(before, after)
    for event in [*told, *(each for each in repeated if each not in told)]:
        await recorder.record(cluster, observed, event, now)
    return after != before or bool(repeated)


async def report_deletion(
    cluster: Cluster, observed: Observed, now: datetime, recorder: EventRecorder, *, own: bool
) -> None:
    """Tell what holds the deletion of a tenant: in its status or, once it is gone, in events of what is held.

    `own`: the tenant belongs to this release of the operator. Raises ClusterError.
    """
    if observed.body is None:
        for ref, live, problem in blocked(observed):
            event = Event("Warning", problem.reason, f"{ref} {problem.message}")
            await recorder.record(cluster, observed, event, now, regarding=live)
    elif own and (after := deletion_status(observed, now)) is not None:
        await report(cluster, observed, after, now, recorder)
