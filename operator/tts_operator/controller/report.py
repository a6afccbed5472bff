"""Writes a tenant's status and its events."""

from datetime import datetime

from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import NotFound
from tts_operator.controller.event_recorder import EventRecorder
from tts_operator.objects.manifest import Body
from tts_operator.observe.reader import tenant_ref
from tts_operator.snapshot.observed import Observed
from tts_operator.status.claim import own_status
from tts_operator.status.events import events


async def report(cluster: Cluster, observed: Observed, after: Body, now: datetime, recorder: EventRecorder) -> None:
    """Write the status if it changed, in one request, and an event for each transition in it. Raises ClusterError."""
    before = own_status(observed.status)
    if after == before:
        return
    try:
        await cluster.apply_status(tenant_ref(observed.key), observed.uid, after)
    except NotFound:
        return  # it was deleted; a new tenant of its name has events of its own
    for event in events(before, after):
        await recorder.record(cluster, observed, event, now)
