"""Connects tenants with the waker: gives each a port, and follows the addresses of the waker's pods."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import structlog

from tts_operator.calendar.calendar import UnknownTimeZone
from tts_operator.calendar.zero import has_zero
from tts_operator.cluster.client import Cluster, collect
from tts_operator.cluster.errors import ClusterError, Refused
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import ENDPOINT_SLICE
from tts_operator.objects.labels import SERVICE_NAME
from tts_operator.objects.manifest import Body
from tts_operator.resolve.waker_ports import PortTable
from tts_operator.settings import Settings
from tts_operator.snapshot.observed import Observed
from tts_operator.snapshot.waker import Waker, ready_addresses

log = structlog.get_logger()

POLL_SECONDS = 2.0
"""Interval at which the addresses of the waker's pods are read: shorter than the time that a pod answers after its end
was asked for."""

RETRY_SECONDS = 60.0
"""Interval at which tenants that have no port are looked at again."""


class WakerLink:
    """Ports of tenants and addresses of the waker, for one term of leadership. Without a waker it does nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._waker = settings.waker
        self._ports = self._no_ports()
        self._addresses: tuple[str, ...] = ()
        self._tenants: set[Key] = set()
        self._without_port: set[Key] = set()

    def _no_ports(self) -> PortTable | None:
        return PortTable(self._waker.first_port, self._waker.ports, time.monotonic) if self._waker else None

    async def begin_term(self, cluster: Cluster) -> None:
        """Forget the ports, which another leader may have given away, and read the addresses. Raises ClusterError."""
        self._ports = self._no_ports()
        self._tenants.clear()
        self._without_port.clear()
        try:
            await self.refresh(cluster)
        except Refused as error:
            log.warning("the operator may not read the waker's addresses", error=str(error))

    def listed(self, tenants: Iterable[Body]) -> None:
        """Take over the ports that are recorded, before any other is given away, oldest tenants first."""
        if self._ports is None:
            return
        recorded = sorted(
            (str(body["metadata"].get("creationTimestamp", "")), *_key_of(body), str(body["metadata"]["uid"]), port)
            for body in tenants
            if (port := recorded_port(body)) is not None
        )
        for _, namespace, name, uid, port in recorded:
            self._ports.claim(Key(namespace, name), uid, port)

    def connect(self, observed: Observed) -> Observed:
        """The reading with the waker's part in the tenant, if its schedule has a zero."""
        key = observed.key
        if self._ports is None or observed.body is None:
            return observed
        if observed.deleting or not _has_zero(observed):
            self.forget(key)
            return replace(observed, waker=None)
        self._tenants.add(key)
        port = self._ports.claim(key, observed.uid, recorded_port(observed.body))
        if port is None:
            log.error("no port of the waker is free", tenant=str(key))
            self._without_port.add(key)
            return replace(observed, waker=None)
        self._without_port.discard(key)
        return replace(observed, waker=Waker(port, self._addresses))

    def forget(self, key: Key) -> None:
        """Free the port of a tenant that is gone, or has no zero any more."""
        self._tenants.discard(key)
        self._without_port.discard(key)
        if self._ports is not None:
            self._ports.release(key)

    async def refresh(self, cluster: Cluster) -> bool:
        """Read the addresses of the waker's pods. Returns whether they changed. Raises ClusterError."""
        if self._waker is None:
            return False
        labels = f"{SERVICE_NAME}={self._waker.service}"
        found = ready_addresses(await collect(cluster.list(ENDPOINT_SLICE, self._settings.namespace, labels)))
        changed, self._addresses = found != self._addresses, found
        return changed

    async def run(self, cluster: Cluster, enqueue: Callable[[Key], None]) -> None:
        """Enqueue every tenant with a zero when the waker's pods change. Never returns, unless there is no waker."""
        tried_at = time.monotonic()
        while self._waker is not None:
            await asyncio.sleep(POLL_SECONDS)
            if self._without_port and time.monotonic() - tried_at > RETRY_SECONDS:
                tried_at = time.monotonic()
                for key in sorted(self._without_port):
                    enqueue(key)
            try:
                changed = await self.refresh(cluster)
            except ClusterError as error:
                log.warning("the waker's addresses were not read", error=str(error))
                continue
            if changed:
                log.info("the waker's addresses changed", addresses=list(self._addresses))
                for key in sorted(self._tenants):
                    enqueue(key)


def recorded_port(body: Body) -> int | None:
    """The port that the tenant's status records; None without one."""
    port = ((body.get("status") or {}).get("waker") or {}).get("port")
    return port if isinstance(port, int) else None


def _key_of(body: Body) -> tuple[str, str]:
    return str(body["metadata"]["namespace"]), str(body["metadata"]["name"])


def _has_zero(observed: Observed) -> bool:
    if observed.tenant is None:
        return recorded_port(observed.body or {}) is not None  # it keeps its port until it can be read again
    try:
        return has_zero(observed.tenant.spec.schedule)
    except UnknownTimeZone:
        return recorded_port(observed.body or {}) is not None
