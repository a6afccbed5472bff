"""Keeps the waker's view of tenants and pods current: a list and a watch for each kind and namespace."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import structlog

from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import ClusterError, Refused
from tts_operator.cluster.watch_request import OPENED, Collection
from tts_operator.informer.reflector import FIRST_PAGE, next_limit
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import ENDPOINT_SLICE, SLICE_MANAGED_BY, TENANT
from tts_operator.objects.labels import MANAGED, POOL_LABEL
from tts_operator.objects.manifest import Body
from tts_operator.objects.names import MANAGER
from tts_operator.waker.tenants import Tenants, reduced

log = structlog.get_logger()

RETRY_SECONDS = 2.0
"""Delay after a failed request, seconds."""
WATCH_SECONDS = 30
"""Duration of one watch request, seconds: a connection that died is noticed soon after."""
SLICES = ",".join(
    (
        MANAGED,
        f"{SLICE_MANAGED_BY}!={MANAGER}",
        f"!{POOL_LABEL}",
        "!service.kubernetes.io/headless",
    )
)
"""Selector of the EndpointSlices behind tenants' Services, which have the labels of their Service, without the
waker's own."""


@dataclass(frozen=True)
class _Stream:
    """One collection, and what records its objects."""

    collection: Collection
    listed: Callable[[str, Iterable[Body]], None]
    changed: Callable[[Body], Key]
    gone: Callable[[Body], Key]


class Feed:
    """Follows the collections. `changed` is called with the key of a tenant; with None after a list."""

    def __init__(
        self, cluster: Cluster, tenants: Tenants, namespaces: Sequence[str], changed: Callable[[Key | None], None]
    ) -> None:
        self._cluster = cluster
        self._tenants = tenants
        self._changed = changed
        self._streams = list(self._all_streams(namespaces or ("",)))
        self._listed: set[Collection] = set()

    @property
    def complete(self) -> bool:
        """Whether every collection has been listed."""
        return len(self._listed) == len(self._streams)

    async def run(self) -> None:
        """Follow every collection. Never returns."""
        async with asyncio.TaskGroup() as group:
            for stream in self._streams:
                group.create_task(self._follow(stream))

    def _all_streams(self, namespaces: Iterable[str]) -> Iterator[_Stream]:
        tenants = self._tenants
        for namespace in namespaces:
            yield _Stream(
                Collection(TENANT, namespace), tenants.tenants_listed, tenants.tenant_changed, tenants.tenant_gone
            )
            yield _Stream(
                Collection(ENDPOINT_SLICE, namespace, SLICES),
                tenants.slices_listed,
                tenants.slice_changed,
                tenants.slice_gone,
            )

    async def _follow(self, stream: _Stream) -> None:
        version = ""
        while True:
            try:
                if not version:
                    version = await self._list(stream)
                version = await self._watch(stream, version)
            except Refused as error:
                log.info("listing again", collection=stream.collection.kind.plural, reason=error.reason)
                version = ""
                await asyncio.sleep(RETRY_SECONDS)
            except ClusterError as error:
                log.warning("watch failed", collection=stream.collection.kind.plural, error=str(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def _list(self, stream: _Stream) -> str:
        objects: list[Body] = []
        token, limit = "", FIRST_PAGE
        while True:
            page = await self._cluster.page(stream.collection, token, limit)
            limit = next_limit(page)
            objects += map(reduced, page.items)
            token = page.token
            if not token:
                break
        stream.listed(stream.collection.namespace, objects)
        self._listed.add(stream.collection)
        self._changed(None)
        return page.version

    async def _watch(self, stream: _Stream, version: str) -> str:
        """Follow one watch to its end. Returns the version from which the next one continues."""
        async for event in self._cluster.watch(stream.collection, version, WATCH_SECONDS):
            if event.type == OPENED:
                continue
            version = event.version
            if event.type == "DELETED":
                self._changed(stream.gone(event.body))
            elif event.type != "BOOKMARK":
                self._changed(stream.changed(event.body))
        return version
