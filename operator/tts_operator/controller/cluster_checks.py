"""Regular questions to the API server: whether it has the CRDs, which namespaces may be read, what watches missed."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from tts_operator.clock import Clock
from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import ClusterError, Forbidden, NotFound
from tts_operator.controller.namespace_access import NamespaceAccess
from tts_operator.informer.add_ons import AddOns
from tts_operator.objects.fields import decimal
from tts_operator.objects.kinds import CALENDAR, KINDS, MODEL, NAMESPACE, TENANT, Kind, Scope
from tts_operator.objects.labels import OF_TENANTS, joined
from tts_operator.objects.manifest import Body, Ref
from tts_operator.telemetry.watch_health import WatchHealth

log = structlog.get_logger()

STARTUP_RETRY_SECONDS = 2.0
"""Retry interval at startup while the API server is unreachable or the CRDs are missing, seconds."""
PROBE_SECONDS = 3.0
"""Interval at which permissions and the storage's revision are looked at, seconds."""
LIST_SECONDS = 300.0
"""Interval of the watch health check, which lists everything, seconds."""


@dataclass(frozen=True)
class ClusterChecks:
    """The checks, with what they read from and report to."""

    cluster: Cluster
    access: NamespaceAccess
    watch_health: WatchHealth
    clock: Clock
    namespace_read: Callable[[str, Body | None], None] = lambda _name, _body: None
    """Receives each named namespace, or None once it is gone."""
    add_ons: AddOns = field(default_factory=AddOns)
    add_ons_changed: Callable[[], None] = lambda: None
    """Called after the kinds of an add-on appeared or went."""

    async def wait_for_resources(self) -> None:
        """Return once the API server is reachable and has the CRDs. Namespaces that are forbidden are skipped."""
        for kind in (MODEL, TENANT, CALENDAR):
            while True:
                try:
                    for namespace in self._scopes(kind):
                        await self._revision(kind, namespace)
                    break
                except NotFound:
                    log.warning("CRDs not installed", kind=kind.name)
                except ClusterError as error:
                    log.warning("API server unreachable", kind=kind.name, error=str(error))
                await asyncio.sleep(STARTUP_RETRY_SECONDS)
        self.access.labels_readable = await self._may_list_namespaces()
        if not self.access.labels_readable:
            log.info("namespaces are not watched: a changed label takes effect with the next periodic list")
        await self.find_add_ons()

    async def find_add_ons(self) -> bool:
        """Find out which kinds of the enabled add-ons the API server has. Returns whether that is news."""
        news = False
        for kind in self.add_ons.kinds:
            exists = await self._exists(kind)
            if exists is not None and self.add_ons.found(kind, exists=exists):
                news = True
                log.info("kind of an add-on", add_on=kind.add_on, kind=kind.name, installed=exists)
        return news

    async def _exists(self, kind: Kind) -> bool | None:
        """Whether the API server has the kind, and the operator may list it; None without an answer."""
        for namespace in self._scopes(kind):
            try:
                await self.cluster.revision(kind, namespace)
            except NotFound:
                return False
            except Forbidden as error:
                log.debug("kind of an add-on may not be listed", kind=kind.name, namespace=namespace, error=str(error))
            except ClusterError:
                return None
            else:
                return True
        return False

    async def _may_list_namespaces(self) -> bool:
        """Whether the operator may watch the namespaces themselves: roles of an older chart do not grant it."""
        if self.access.confined:
            return False
        try:
            await self.cluster.revision(NAMESPACE)
        except ClusterError as error:
            log.warning("namespaces may not be listed", error=str(error))
            return False
        return True

    async def probe(self, access_checked: Callable[[], None], restored: Callable[[], None]) -> None:
        """Keep asking. Calls `access_checked` each time, and `restored` if storage went back to an older copy."""
        newest = 0
        while True:
            for namespace in ("", *self.access.named):
                revision = await self._probed(namespace)
                if 0 < revision < newest:
                    log.warning("storage restored from an older copy", revision=revision, was=newest)
                    self.watch_health.reset()
                    restored()
                newest = revision or newest
            changed = await self.find_add_ons()
            access_checked()
            if changed:
                self.add_ons_changed()
            await asyncio.sleep(PROBE_SECONDS)

    async def _probed(self, namespace: str) -> int:
        """Revision of the storage; 0 without a response."""
        try:
            revision = await self._revision(TENANT if namespace else MODEL, namespace)
            if namespace and revision is not None:
                read = await self.cluster.get(Ref.of(NAMESPACE, "", namespace), metadata_only=True)
                self.namespace_read(namespace, read)
            return decimal(revision or "")
        except ClusterError as error:  # the watches report an outage
            log.debug("probe failed", namespace=namespace, error=str(error))
            return 0

    async def compare_versions(self) -> None:
        """Periodically compare existing versions with those that the watches delivered, for the liveness probe."""
        while True:
            await asyncio.sleep(LIST_SECONDS)
            for kind in (kind for kind in KINDS if kind.health_checked and self.add_ons.has(kind)):
                for namespace in self._scopes(kind):
                    try:
                        version = await newest_version(self.cluster, kind, namespace)
                        self.watch_health.exists(kind.plural, version, self.clock.monotonic())
                    except ClusterError as error:
                        log.warning("watch health check failed", kind=kind.name, error=str(error))

    def _scopes(self, kind: Kind) -> tuple[str, ...]:
        return ("",) if kind.scope is Scope.CLUSTER else self.access.listed()

    async def _revision(self, kind: Kind, namespace: str) -> str | None:
        """Revision of the storage; None for a namespace that may not be read. Raises ClusterError."""
        try:
            revision = await self.cluster.revision(kind, namespace)
        except Forbidden as error:
            if not namespace:
                raise
            self.access.refused(namespace, error)
            return None
        self.access.granted(namespace)
        return revision


async def newest_version(cluster: Cluster, kind: Kind, namespace: str) -> str:
    """Highest resourceVersion among the watched objects of a kind; empty without any."""
    labels = "" if kind in (TENANT, MODEL) else joined(OF_TENANTS, kind.labels)
    listed = cluster.list(kind, namespace, labels, metadata_only=True)
    versions = [str(body["metadata"]["resourceVersion"]) async for body in listed]
    return max(versions, key=decimal, default="")
