"""Whatever ends a list or a watch, the copies are current again within seconds, and nothing is missed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tts_operator.cluster.errors import ClusterError, Expired, Forbidden, NotFound, Overloaded, Refused, Unreachable
from tts_operator.cluster.watch_request import Collection, Page, WatchEvent
from tts_operator.informer.indexer import Change, Indexer
from tts_operator.informer.reflector import WATCH_SECONDS, Reflector, next_limit
from tts_operator.informer.watch_state import LONGEST_PAUSE_SECONDS
from tts_operator.objects.kinds import CONFIG_MAP

CONFIG_MAPS = Collection(CONFIG_MAP, labels="ttsfleet.io/tenant")
BACK_SECONDS = 10.0


@dataclass
class ApiServer:
    """Has ConfigMaps, a history of events, and errors that it answers next with."""

    version: int = 100
    objects: dict[str, int] = field(default_factory=dict)
    events: list[tuple[int, str, str]] = field(default_factory=list)
    oldest: int = 0
    """Version before which the history is forgotten."""
    errors: list[ClusterError] = field(default_factory=list)
    errors_in_stream: list[ClusterError] = field(default_factory=list)
    page_errors: list[ClusterError | None] = field(default_factory=list)
    hangs: bool = False
    lists: int = 0
    watched_from: list[str] = field(default_factory=list)

    def put(self, name: str) -> None:
        self.version += 1
        self.events.append((self.version, "MODIFIED" if name in self.objects else "ADDED", name))
        self.objects[name] = self.version

    def delete(self, name: str) -> None:
        self.version += 1
        del self.objects[name]
        self.events.append((self.version, "DELETED", name))

    def forget_history(self) -> None:
        self.oldest = self.version

    async def page(self, collection: Collection, token: str = "", limit: int = 0) -> Page:
        await asyncio.sleep(0.01)
        if not token:
            self.lists += 1
            self.snapshot = sorted(self.objects.items())
            self.snapshot_version = self.version
        error = self.page_errors.pop(0) if self.page_errors else None
        if error is not None:
            raise error
        start = int(token or 0)
        end = start + 2
        bodies = [body(name, version) for name, version in self.snapshot[start:end]]
        return Page(bodies, str(self.snapshot_version), str(end) if end < len(self.snapshot) else "")

    async def watch(self, collection: Collection, version: str, seconds: int) -> AsyncGenerator[WatchEvent]:
        self.watched_from.append(version)
        await asyncio.sleep(0.01)
        if self.errors:
            raise self.errors.pop(0)
        yield WatchEvent("OPENED", {})
        if int(version) < self.oldest:
            raise Expired("Expired", "too old resource version")
        if self.hangs:
            await asyncio.sleep(seconds + 2)
            raise Unreachable("the API server did not end the watch")
        told = int(version)
        for _ in range(seconds * 10):
            await asyncio.sleep(0.1)
            if self.errors_in_stream:
                raise self.errors_in_stream.pop(0)
            for at, type_, name in [event for event in self.events if event[0] > told]:
                yield WatchEvent(type_, body(name, at))
                told = at
        yield WatchEvent("BOOKMARK", {"metadata": {"resourceVersion": str(self.version)}})


def body(name: str, version: int) -> dict[str, Any]:
    labels = {"ttsfleet.io/tenant": "acme"}
    metadata = {"name": name, "namespace": "team", "uid": name, "resourceVersion": str(version), "labels": labels}
    return {"metadata": {**metadata, "annotations": {"version": str(version)}}}


@dataclass
class Heard:
    """Notes what it is told, and when the watch did what."""

    changes: list[str] = field(default_factory=list)
    worked: list[float] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    repairs: int = 0

    def repaired(self, change: Change) -> None:
        self.repairs += 1

    def changed(self, change: Change) -> None:
        self.changes.append(f"{'-' if change.gone else '+'}{change.held.name}")

    def delivered(self, plural: str, version: str) -> None:
        self.versions.append(version)

    def requested(self, path: str) -> None: ...

    def opened(self, path: str) -> None: ...

    def ended(self, path: str) -> None:
        self.worked.append(asyncio.get_running_loop().time())


@dataclass
class Stage:
    server: ApiServer
    indexer: Indexer
    reflector: Reflector
    heard: Heard

    def names(self) -> dict[str, int]:
        """Every held object, with its version in the cluster."""
        return {held.name: held.version for held in self.indexer.all(CONFIG_MAP)}

    def is_current(self) -> bool:
        return self.names() == self.server.objects

    async def becomes_current(self, within_seconds: float = BACK_SECONDS) -> None:
        async with asyncio.timeout(within_seconds):
            while not self.is_current():  # noqa: ASYNC110 - time is virtual
                await asyncio.sleep(0.1)


@asynccontextmanager
async def reflecting(*names: str) -> AsyncIterator[Stage]:
    server, indexer, heard = ApiServer(), Indexer(), Heard()
    for name in names:
        server.put(name)
    reflector = Reflector(server, CONFIG_MAPS, indexer, heard, heard)
    stage = Stage(server, indexer, reflector, heard)
    task = asyncio.create_task(reflector.run())
    await asyncio.sleep(1)
    yield stage
    assert not task.done(), task
    task.cancel()
    await asyncio.wait({task})


async def test_a_list_of_several_pages_is_followed_by_a_watch() -> None:
    async with reflecting("a", "b", "c", "d", "e") as stage:
        assert stage.reflector.synced
        assert stage.is_current()
        assert stage.server.watched_from == [str(stage.server.snapshot_version)]
        stage.server.put("f")
        stage.server.delete("a")
        await stage.becomes_current(1)
        assert stage.heard.changes[-2:] == ["+f", "-a"]
        assert str(stage.server.version) in stage.heard.versions


async def test_the_next_watch_continues_where_the_last_one_ended() -> None:
    """A bookmark moves the version on though nothing of this kind changed: it is never too old."""
    async with reflecting("a") as stage:
        stage.server.version += 1000
        await asyncio.sleep(WATCH_SECONDS)
        stage.server.forget_history()
        stage.server.put("b")
        await stage.becomes_current()
        assert stage.server.lists == 1
        assert stage.server.watched_from[-1] == "1101"


ERRORS: dict[str, tuple[ClusterError, int]] = {
    # the story                  the error                                        lists
    "410": (Expired("Expired", "too old"), 2),
    "404, as of a CRD": (NotFound("NotFound", "the server could not find the requested resource"), 2),
    "400": (Refused("BadRequest", "no"), 1),
    "401": (Unreachable("Unauthorized"), 1),
    "403": (Forbidden("Forbidden", "no"), 1),
    "429": (Overloaded("too many requests", 1), 1),
    "429 with an hour of Retry-After": (Overloaded("too many requests", 3600), 1),
    "500": (Refused("InternalError", "no"), 1),
    "503": (Unreachable("unavailable"), 1),
}


@pytest.mark.parametrize("in_stream", [False, True])
@pytest.mark.parametrize(("error", "lists"), ERRORS.values(), ids=ERRORS)
async def test_a_watch_that_fails_goes_on_within_seconds(error: ClusterError, lists: int, in_stream: bool) -> None:
    async with reflecting("a", "b") as stage:
        (stage.server.errors_in_stream if in_stream else stage.server.errors).append(error)
        await asyncio.sleep(WATCH_SECONDS)
        stage.server.delete("a")
        stage.server.put("c")
        await stage.becomes_current()
        assert stage.server.lists == lists


async def test_what_was_deleted_while_nobody_watched_is_told() -> None:
    async with reflecting("a", "b", "c") as stage:
        stage.server.hangs = True
        await asyncio.sleep(WATCH_SECONDS)
        stage.server.delete("b")
        stage.server.put("d")
        stage.server.forget_history()
        stage.server.hangs = False
        await stage.becomes_current()
        assert sorted(stage.heard.changes[3:]) == ["+d", "-b"]
        assert stage.heard.repairs == 2


async def test_a_watch_that_hangs_is_cut_and_continued_without_a_list() -> None:
    async with reflecting("a") as stage:
        stage.server.hangs = True
        await asyncio.sleep(WATCH_SECONDS)
        stage.server.put("b")
        worked = len(stage.heard.worked)
        await asyncio.sleep(WATCH_SECONDS + 2)
        assert len(stage.heard.worked) == worked, "a watch that the server does not end does not count as working"
        stage.server.hangs = False
        await stage.becomes_current()
        assert stage.server.lists == 1


async def test_a_page_whose_token_is_too_old_begins_the_list_again() -> None:
    async with reflecting("a", "b", "c", "d", "e") as stage:
        stage.server.page_errors = [None, Expired("Expired", "The provided continue parameter is too old")]
        stage.reflector.relist()
        await asyncio.sleep(WATCH_SECONDS + 1)
        await stage.becomes_current()
        assert stage.server.lists == 3
        assert "-" not in "".join(stage.heard.changes), "half a list deletes nothing"


async def test_a_list_without_an_end_in_sight_does_not_come_every_instant() -> None:
    async with reflecting() as stage:
        stage.server.errors = [Expired("Expired", "too old")] * 1000
        await asyncio.sleep(60)
        assert stage.server.lists <= 2 + 60 / LONGEST_PAUSE_SECONDS + 5
        stage.server.errors.clear()
        stage.server.put("a")
        await stage.becomes_current()


async def test_a_relist_finds_what_a_watch_has_swallowed() -> None:
    async with reflecting("a", "b") as stage:
        stage.server.delete("a")
        stage.server.events.clear()
        await asyncio.sleep(2 * WATCH_SECONDS)
        assert not stage.is_current()
        stage.reflector.relist()
        await stage.becomes_current()
        assert stage.heard.repairs == 1


async def test_an_error_that_nobody_expected_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with reflecting("a") as stage:
        puts: Callable[..., Change | None] = stage.indexer.put

        def broken(*arguments: Any) -> Change | None:
            monkeypatch.setattr(stage.indexer, "put", puts)
            raise KeyError("metadata")

        monkeypatch.setattr(stage.indexer, "put", broken)
        stage.server.put("b")
        await stage.becomes_current()


@pytest.mark.parametrize(("count", "size_bytes", "limit"), [(25, 25 * 900_000, 4), (25, 25 * 3_000, 500), (0, 20, 500)])
def test_pages_are_shorter_the_larger_their_objects_are(count: int, size_bytes: int, limit: int) -> None:
    assert next_limit(Page([body("a", 1)] * count, "1", "", size_bytes)) == limit
