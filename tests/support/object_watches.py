"""The operator's watches and copies in one namespace, as `tts_operator.run` connects them, but without kopf."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.api_server import ApiServer, eventually
from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import ClusterError
from tts_operator.cluster.watch_request import Collection
from tts_operator.controller.object_watches import ObjectWatches
from tts_operator.controller.watches import WATCHED, ListedPage, WatchScope
from tts_operator.informer.held_object import HeldObject
from tts_operator.informer.reader import CachedReader, LiveReader
from tts_operator.informer.reflector import WATCH_SECONDS
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import CALENDAR, MODEL, NAMESPACE, TENANT, Kind
from tts_operator.objects.manifest import Ref


@dataclass
class Events:
    """Feeds kopf's events to the copies, and notes the keys of the others."""

    objects: ObjectWatches
    tenants: list[Key] = field(default_factory=list)
    children: list[Key] = field(default_factory=list)
    namespaces: list[str] = field(default_factory=list)
    schedules: list[Key] = field(default_factory=list)

    def tenant_changed(self, key: Key, models: Iterable[str]) -> None:
        self.tenants.append(key)

    def model_changed(self, name: str, fallback: str | None) -> None: ...

    def child_changed(self, key: Key) -> None:
        self.children.append(key)

    def deployment_changed(self, deployment: Mapping[str, Any], *, gone: bool) -> None: ...

    def schedule_changed(self, key: Key) -> None:
        self.schedules.append(key)

    def namespace_changed(self, name: str) -> None:
        self.namespaces.append(name)

    def status_changed(self, key: Key) -> None: ...

    def delivered(self, kind: str, version: str) -> None: ...

    def seen(self, kind: Kind, body: Mapping[str, Any], *, gone: bool) -> None:
        self.objects.seen(kind, body, gone=gone)

    def listed(self, page: ListedPage) -> None:
        self.objects.listed(page)


@dataclass
class Watched:
    """Copies that are current, and a reader of them."""

    objects: ObjectWatches
    reader: CachedReader
    events: Events


@asynccontextmanager
async def watched(api: ApiServer) -> AsyncIterator[Watched]:
    """Watch the test's namespace, until the block ends. The operator's own writes through `api.cluster` are heard."""
    async with await Cluster.connect(lambda: False, connections=0) as source:
        objects = ObjectWatches(source, time.monotonic)
        events = Events(objects)
        objects.connect(events, lambda _path: True)
        api.cluster.stored = objects.own_writes.stored
        objects.watch((WatchScope(api.namespace, WATCHED), WatchScope("", (CALENDAR, NAMESPACE))))
        running = [
            asyncio.create_task(objects.run(3600)),
            asyncio.create_task(in_place_of_kopf(source, Collection(TENANT, api.namespace), events)),
            asyncio.create_task(in_place_of_kopf(source, Collection(MODEL), events)),
        ]
        reader = CachedReader(objects.indexer, objects.is_current, LiveReader(api.cluster))
        try:
            await eventually(lambda: are_current(api, objects), "everything is watched")
            yield Watched(objects, reader, events)
        finally:
            for task in running:
                task.cancel()
            await asyncio.wait(running)


async def in_place_of_kopf(source: Cluster, collection: Collection, events: Events) -> None:
    """Deliver what kopf delivers. kopf itself ends no sooner than its process, which is this test run."""
    while True:
        with contextlib.suppress(ClusterError):  # a busy machine: it lists again, as kopf does
            await _list_and_watch(source, collection, events)


async def _list_and_watch(source: Cluster, collection: Collection, events: Events) -> None:
    kind, token, first = collection.kind, "", True
    while first or token:
        page = await source.page(collection, token)
        token = page.token
        listed = ListedPage(kind, collection.namespace, tuple(page.items), page.version, first=first, last=not token)
        events.listed(listed)
        first = False
    version = page.version
    while True:
        async for event in source.watch(collection, version, WATCH_SECONDS):
            version = event.version or version
            if event.type in {"ADDED", "MODIFIED", "DELETED"}:
                events.seen(kind, event.body, gone=event.type == "DELETED")


async def caught_up(api: ApiServer, copies: Watched, key: Key) -> None:
    """Return once the copies of everything that a reconcile of the tenant reads are as the API server's objects are."""
    await eventually(lambda: _are_equal(api, copies, key), f"the copies of {key} are current")


async def _are_equal(api: ApiServer, copies: Watched, key: Key) -> bool:
    live, held = LiveReader(api.cluster), copies.objects.indexer
    if {each["metadata"]["resourceVersion"] async for each in live.all(MODEL)} != _versions(held.all(MODEL)):
        return False
    tenants = {each["metadata"]["resourceVersion"] async for each in live.all(TENANT, key.namespace)}
    if tenants != _versions(held.all(TENANT, key.namespace)):
        return False
    for kind in WATCHED:
        found = await live.of_tenant(kind, key, metadata_only=True)
        if {each["metadata"]["resourceVersion"] for each in found} != _versions(held.of_tenant(kind, key)):
            return False
    namespace = await api.cluster.get(Ref.of(NAMESPACE, "", key.namespace))
    found = await live.foreign_autoscalers(key.namespace)
    return _versions(held.foreign_autoscalers(key.namespace)) == {
        each["metadata"]["resourceVersion"] for each in found
    } and _versions(each for each in held.all(NAMESPACE) if each.name == key.namespace) == (
        {namespace["metadata"]["resourceVersion"]} if namespace else set()
    )


def _versions(objects: Iterable[HeldObject]) -> set[str]:
    return {str(held.version) for held in objects}


async def are_current(api: ApiServer, objects: ObjectWatches) -> bool:
    kinds = [(MODEL, ""), (CALENDAR, ""), *((kind, api.namespace) for kind in (TENANT, *WATCHED)), (NAMESPACE, "")]
    return all(objects.is_current(kind, namespace, "") for kind, namespace in kinds)
