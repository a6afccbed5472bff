"""Lists one collection, watches it from there on, and tells an indexer what it hears, until it is cancelled."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Protocol

import structlog

from tts_operator.cluster.errors import ClusterError, Expired, NotFound, Overloaded, TooLarge
from tts_operator.cluster.watch_request import Collection, Page, WatchEvent
from tts_operator.informer.indexer import Change, Indexer, ObjectName
from tts_operator.informer.watch_state import Failure, WatchState

log = structlog.get_logger()

WATCH_SECONDS = 4
"""Duration of one watch request, after which the API server ends it with a bookmark, seconds.

So short that a watch whose connection is dead is noticed and continued soon, without a list.
"""
FIRST_PAGE, LONGEST_PAGE = 25, 500
"""Objects of the first page of a list, and of the longest one."""
PAGE_BYTES = 4 * 2**20
"""Size that a page should have: all of it is in memory at once, as text and parsed, and anybody may make a ConfigMap of
a megabyte with the label of a tenant."""
EVENTS_AT_ONCE = 20
"""Events after which other work gets a turn: those that are buffered already do not wait for the network."""


class Source(Protocol):
    """Lists and watches collections, as `cluster.client.Cluster` does. Everything raises ClusterError."""

    async def page(self, collection: Collection, token: str = "", limit: int = LONGEST_PAGE) -> Page:
        """Read one page of a list; `token` is that of the page before. Raises Expired if that is too old."""

    def watch(self, collection: Collection, version: str, seconds: int) -> AsyncGenerator[WatchEvent]:
        """Yield what changes after this resourceVersion, until the server ends the watch after so many seconds.

        Raises Unreachable, too, for a watch that the server does not end.
        """


class Activity(Protocol):
    """Receives what a watch does: see `telemetry.watch_activity.WatchActivity`."""

    def requested(self, path: str) -> None:
        """Record a request for a list or a watch."""

    def opened(self, path: str) -> None:
        """Record that the API server accepted a watch."""

    def ended(self, path: str) -> None:
        """Record that the API server ended a watch: it has delivered all that there was."""


class Receiver(Protocol):
    """Receives what is heard of objects."""

    def changed(self, change: Change) -> None:
        """An object has another content, is new, or is gone."""

    def repaired(self, change: Change) -> None:
        """A list found a change that the watch before it had not delivered: called before `changed`."""

    def delivered(self, plural: str, version: str) -> None:
        """An object of this plural and resourceVersion was delivered, changed or not."""


class Reflector:
    """Keeps the objects of one collection in an indexer current."""

    def __init__(
        self,
        source: Source,
        collection: Collection,
        indexer: Indexer,
        receiver: Receiver,
        activity: Activity,
    ) -> None:
        self._source = source
        self.collection = collection
        self._indexer = indexer
        self._receiver = receiver
        self._activity = activity
        self._path = collection.path
        self._state = WatchState()
        self._relist = False
        self.synced = False
        """Whether the indexer has had everything since the last complete list."""

    async def run(self) -> None:
        """List and watch until cancelled. No error ends it."""
        while True:
            try:
                if self._state.must_list:
                    await self._list()
                else:
                    await self._watch()
            except ClusterError as error:
                self._state = self._state.failed(failure_of(error), retry_after_seconds(error))
                if self._state.failures in (1, 10):
                    log.info("watch interrupted", collection=str(self.collection), error=str(error))
            except Exception:
                log.exception("watch crashed", collection=str(self.collection))
                self._state = self._state.failed(Failure.GONE)
            if self._relist:
                self._relist = False
                self._state = self._state.relist()
            await asyncio.sleep(self._state.pause_seconds)

    def relist(self) -> None:
        """List everything after the present request, which takes a few seconds."""
        self._relist = True

    async def _list(self) -> None:
        """Read every page, and compare what is held with the whole."""
        repairing = self.synced
        existing: set[ObjectName] = set()
        token, limit = "", FIRST_PAGE
        while True:
            self._activity.requested(self._path)
            page = await self._source.page(self.collection, token, limit)
            limit = next_limit(page)
            for number, body in enumerate(page.items, 1):
                metadata = body["metadata"]
                self._delivered(str(metadata.get("resourceVersion") or ""))
                existing.add(ObjectName(metadata.get("namespace", ""), metadata["name"]))
                change = self._indexer.put(self.collection.kind, body, listed_at=page.version)
                self._tell(change, repairing=repairing)
                if number % EVENTS_AT_ONCE == 0:
                    await asyncio.sleep(0)
            token = page.token
            if not token:
                break
        kind, namespace = self.collection.kind, self.collection.namespace
        for change in self._indexer.listed(kind, namespace, existing, page.version):
            self._tell(change, repairing=repairing)
        self._state = self._state.listed(page.version)
        self.synced = True

    async def _watch(self) -> None:
        self._activity.requested(self._path)
        stream = self._source.watch(self.collection, self._state.version, WATCH_SECONDS)
        handled = 0
        try:
            async for event in stream:
                self._handle(event)
                handled += 1
                if handled % EVENTS_AT_ONCE == 0:
                    await asyncio.sleep(0)
        finally:
            await stream.aclose()
        self._activity.ended(self._path)
        self._state = self._state.ended()

    def _handle(self, event: WatchEvent) -> None:
        kind = self.collection.kind
        match event.type:
            case "OPENED":
                self._activity.opened(self._path)
            case "ADDED" | "MODIFIED":
                self._delivered(event.version)
                self._tell(self._indexer.put(kind, event.body))
            case "DELETED":
                self._delivered(event.version)
                self._tell(self._indexer.remove(kind, event.body))
        self._state = self._state.saw(event.version)

    def _tell(self, change: Change | None, *, repairing: bool = False) -> None:
        if change is not None:
            if repairing:
                self._receiver.repaired(change)
            self._receiver.changed(change)

    def _delivered(self, version: str) -> None:
        self._receiver.delivered(self.collection.kind.plural, version)


def next_limit(page: Page) -> int:
    """Objects that the next page should have, by the size of this one's."""
    if not page.items or not page.size_bytes:
        return LONGEST_PAGE
    return max(min(PAGE_BYTES * len(page.items) // page.size_bytes, LONGEST_PAGE), 1)


def failure_of(error: ClusterError) -> Failure:
    """Meaning of an error for the version that was watched from."""
    return Failure.GONE if isinstance(error, Expired | NotFound | TooLarge) else Failure.OTHER


def retry_after_seconds(error: ClusterError) -> float:
    """Time that the server asks to wait; 0 if it does not."""
    return error.retry_after_seconds if isinstance(error, Overloaded) else 0.0
