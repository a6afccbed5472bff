"""Records events about tenants. One that repeats is counted in the object that exists, and makes no new one."""

import platform
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import structlog

from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import NotFound, Refused
from tts_operator.objects.kinds import EVENT, TENANT
from tts_operator.objects.manifest import Body, Manifest, Ref, ref_of
from tts_operator.objects.names import GROUP, MANAGER
from tts_operator.snapshot.observed import Observed
from tts_operator.status.events import Event

log = structlog.get_logger()

MAX_NOTE_BYTES = 1024
"""Bytes of an event's note. The API documents characters; the API server counts bytes."""
SERIES_GAP = timedelta(minutes=10)
"""Longest time between two occurrences of one series."""
MAX_SERIES = 4096
"""Series that are remembered: beyond that number, those that are over are forgotten."""


@dataclass
class Series:
    """Occurrences of one event."""

    ref: Ref
    last: datetime
    count: int = 1


class EventKey(NamedTuple):
    """Events that are equal but for their time."""

    uid: str
    event: Event


class EventRecorder:
    """Writes events to the API server. It remembers recent ones; a new leader begins new objects."""

    def __init__(self) -> None:
        self._series: dict[EventKey, Series] = {}

    async def record(
        self, cluster: Cluster, observed: Observed, event: Event, now: datetime, *, regarding: Body | None = None
    ) -> None:
        """Create the event, or count it in the series that it continues. A refusal is only logged.

        `regarding`: the object that it is about, by default the tenant.
        """
        key = EventKey(regarding["metadata"]["uid"] if regarding else observed.uid, event)
        series = self._series.get(key)
        try:
            if series is None or now - series.last > SERIES_GAP or not await self._counted(cluster, series, now):
                manifest = event_manifest(observed, event, now, regarding)
                await cluster.create(manifest)
                self._series[key] = Series(manifest.ref, now)
        except Refused as error:
            log.warning("event not recorded", tenant=str(observed.key), reason=event.reason, error=error.message)
        self._forget(now)

    async def _counted(self, cluster: Cluster, series: Series, now: datetime) -> bool:
        """Count one more occurrence. Returns False if the object is gone: the API server keeps events for an hour."""
        count = series.count + 1
        try:
            await cluster.patch(series.ref, {"series": {"count": count, "lastObservedTime": micro_time(now)}})
        except NotFound:
            return False
        series.count, series.last = count, now
        return True

    def _forget(self, now: datetime) -> None:
        if len(self._series) > MAX_SERIES:
            self._series = {key: each for key, each in self._series.items() if now - each.last <= SERIES_GAP}


def event_manifest(observed: Observed, event: Event, now: datetime, regarding: Body | None = None) -> Manifest:
    """Event object, which `kubectl describe` shows below the tenant, or below the object that it is about."""
    key = observed.key
    ref = Ref.of(EVENT, key.namespace, f"{key.name}.{secrets.token_hex(8)}")
    about = ref_of(regarding) if regarding else Ref.of(TENANT, key.namespace, key.name)
    return Manifest(
        ref,
        {
            "apiVersion": ref.api_version,
            "kind": ref.kind,
            "metadata": {"name": ref.name, "namespace": ref.namespace},
            "eventTime": micro_time(now),
            "reportingController": f"{GROUP}/{MANAGER}",
            "reportingInstance": platform.node() or MANAGER,
            "action": "Reconcile",
            "type": event.type,
            "reason": event.reason,
            "note": event.message.encode()[:MAX_NOTE_BYTES].decode(errors="ignore"),
            "regarding": {
                "apiVersion": about.api_version,
                "kind": about.kind,
                "namespace": about.namespace,
                "name": about.name,
                "uid": regarding["metadata"]["uid"] if regarding else observed.uid,
            },
        },
    )


def micro_time(instant: datetime) -> str:
    """RFC 3339 in UTC, to the microsecond, as events have it."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
