"""Writes a tenant's status and its events."""

import platform
import secrets
from datetime import UTC, datetime

import structlog

from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import NotFound, Refused
from tts_operator.objects.kinds import EVENT, TENANT
from tts_operator.objects.manifest import Body, Manifest, Ref
from tts_operator.objects.names import GROUP, MANAGER
from tts_operator.observe.reader import tenant_ref
from tts_operator.snapshot.observed import Observed
from tts_operator.status.claim import own_status
from tts_operator.status.events import Event, events

log = structlog.get_logger()

MAX_NOTE_BYTES = 1024
"""Bytes of an event's note. The API documents characters; the API server counts bytes."""


async def report(cluster: Cluster, observed: Observed, after: Body, now: datetime) -> None:
    """Write the status if it changed, in one request, and an event for each transition in it. Raises ClusterError."""
    before = own_status(observed.status)
    if after == before:
        return
    try:
        await cluster.apply_status(tenant_ref(observed.key), observed.uid, after)
    except NotFound:
        return  # it was deleted; a new tenant of its name has events of its own
    for event in events(before, after):
        try:
            await cluster.create(event_manifest(observed, event, now))
        except Refused as error:
            log.warning("event not recorded", tenant=str(observed.key), reason=event.reason, error=error.message)


def event_manifest(observed: Observed, event: Event, now: datetime) -> Manifest:
    """Event object, which `kubectl describe` shows below the tenant."""
    key = observed.key
    ref = Ref.of(EVENT, key.namespace, f"{key.name}.{secrets.token_hex(8)}")
    return Manifest(
        ref,
        {
            "apiVersion": ref.api_version,
            "kind": ref.kind,
            "metadata": {"name": ref.name, "namespace": ref.namespace},
            "eventTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": f"{GROUP}/{MANAGER}",
            "reportingInstance": platform.node() or MANAGER,
            "action": "Reconcile",
            "type": event.type,
            "reason": event.reason,
            "note": event.message.encode()[:MAX_NOTE_BYTES].decode(errors="ignore"),
            "regarding": {
                "apiVersion": TENANT.api_version,
                "kind": TENANT.name,
                "namespace": key.namespace,
                "name": key.name,
                "uid": observed.uid,
            },
        },
    )
