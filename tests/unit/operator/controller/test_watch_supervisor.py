"""Sessions of watches are replaced when they end, hang, or refuse to end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tts_operator.controller.watch_session import WatchSession
from tts_operator.controller.watch_supervisor import RESTART_SECONDS, WatchSupervisor
from tts_operator.controller.watches import EventSink, ListedPage, WatchScope
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import MODEL, POD, Kind
from tts_operator.telemetry.watch_activity import SILENCE_SECONDS, WatchActivity

ALL = WatchScope("", (POD, MODEL))
TEAM = WatchScope("team", (POD,))


class Sink:
    """Notes the keys that it is told."""

    def __init__(self) -> None:
        self.keys: list[Key] = []

    def tenant_changed(self, key: Key, models: Iterable[str]) -> None:
        self.keys.append(key)

    def model_changed(self, name: str, fallback: str | None) -> None: ...

    def child_changed(self, key: Key) -> None:
        self.keys.append(key)

    def deployment_changed(self, deployment: Mapping[str, Any], *, gone: bool) -> None: ...

    def schedule_changed(self, key: Key) -> None: ...

    def namespace_changed(self, name: str) -> None: ...

    def status_changed(self, key: Key) -> None: ...

    def delivered(self, kind: str, version: str) -> None: ...

    def seen(self, kind: Kind, body: Mapping[str, Any], *, gone: bool) -> None: ...

    def listed(self, page: ListedPage) -> None: ...


class Never:
    """Work that waits for something that never comes, also when it is cancelled: as kopf in its shutdown."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    async def watch(self) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    async def disconnect(self) -> None:
        self.closed.set()


class Fails(Never):
    async def watch(self) -> None:
        raise RuntimeError("404")


class Stage:
    """A supervisor whose sessions are what the test says, on a clock that it moves."""

    def __init__(self, *work: Callable[[], Never]) -> None:
        self.now = 0.0
        self.restarted = 0
        self.work = list(work)
        self.started: list[tuple[WatchScope, EventSink, WatchActivity, Never]] = []
        self.sink = Sink()
        self.ages: Mapping[str, float] = {}
        self.supervisor = WatchSupervisor(
            self.sink, lambda: self.now, self.count, start_watching=self.start_watching, aged=self.age
        )

    def count(self) -> None:
        self.restarted += 1

    def age(self, ages: Mapping[str, float]) -> None:
        self.ages = ages

    def start_watching(self, scope: WatchScope, sink: EventSink, activity: WatchActivity) -> Never:
        work = self.work.pop(0)() if self.work else Never()
        self.started.append((scope, sink, activity, work))
        return work

    def works(self, number: int = -1) -> None:
        """All watches of a session are opened and end."""
        scope, _, activity, _ = self.started[number]
        for path in scope.paths:
            activity.requested(path)
            activity.opened(path)
            activity.ended(path)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.supervisor.check()


@asynccontextmanager
async def staged(*work: Callable[[], Never]) -> AsyncIterator[Stage]:
    stage = Stage(*work)
    stage.supervisor.watch((ALL,))
    try:
        yield stage
    finally:
        stage.supervisor.watch(())


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_before_it_watches_it_is_not_ready() -> None:
    assert WatchSupervisor(Sink(), lambda: 0.0, lambda: None).problems() == ["the watches have not started"]


async def test_a_session_that_works_stays() -> None:
    async with staged() as stage:
        for _ in range(20):
            stage.works()
            stage.pass_time(4)
            assert stage.supervisor.problems() == []
        assert len(stage.started) == 1
        assert stage.restarted == 0


async def test_a_session_that_hangs_is_noticed_in_ten_seconds_and_replaced_though_it_does_not_end() -> None:
    async with staged() as stage:
        stage.works()
        stage.pass_time(0)
        stage.pass_time(SILENCE_SECONDS + 0.5)
        assert len(stage.started) == 2
        assert stage.supervisor.problems() == [f"no working watch of {path}" for path in sorted(ALL.paths)]
        eventually(stage.started[0][3].closed.is_set)
        stage.works()
        stage.pass_time(0)
        assert stage.supervisor.problems() == []
        assert stage.restarted == 1, "what was missed in between is listed once"


async def test_an_outage_restarts_nothing() -> None:
    """Requests that fail are repeated by the session itself; a new one would have to list everything."""
    async with staged() as stage:
        stage.works()
        for _ in range(100):
            stage.pass_time(4)
            for path in ALL.paths:
                stage.started[-1][2].requested(path)
        assert len(stage.started) == 1
        assert stage.supervisor.problems() != []


async def test_a_watch_ages_from_when_it_worked_last_whatever_is_started_in_its_place() -> None:
    async with staged() as stage:
        stage.works()
        stage.pass_time(3)
        assert stage.ages == {"pods": 3, "ttsmodels": 3}
        for _ in range(10):
            stage.pass_time(SILENCE_SECONDS + 0.5)
        assert len(stage.started) > 3
        assert stage.ages["pods"] == 3 + 10 * (SILENCE_SECONDS + 0.5)
        stage.works()
        stage.pass_time(1)
        assert stage.ages == {"pods": 1, "ttsmodels": 1}


async def test_a_kind_is_as_old_as_its_oldest_watch_and_a_new_watch_no_older_than_its_start() -> None:
    async with staged() as stage:
        stage.works()
        stage.pass_time(5)
        stage.supervisor.watch((ALL, TEAM))
        stage.works(0)
        stage.pass_time(2)
        assert stage.ages == {"pods": 2, "ttsmodels": 2}
        stage.works(0)
        stage.pass_time(1)
        assert stage.ages == {"pods": 3, "ttsmodels": 1}


async def test_a_session_that_ends_is_replaced_but_not_at_once() -> None:
    async with staged(Fails, Fails) as stage:
        for attempt in (2, 3):
            eventually(lambda: not stage.supervisor._started[ALL].session.running)
            stage.pass_time(RESTART_SECONDS - 0.1)
            assert len(stage.started) == attempt - 1
            stage.pass_time(0.2)
            assert len(stage.started) == attempt


async def test_a_session_that_never_watched_may_take_twice_the_time_when_it_starts_again() -> None:
    async with staged() as stage:
        stage.pass_time(SILENCE_SECONDS + 0.5)
        assert len(stage.started) == 2
        stage.pass_time(SILENCE_SECONDS + 0.5)
        assert len(stage.started) == 2
        stage.pass_time(SILENCE_SECONDS + 0.5)
        assert len(stage.started) == 3


async def test_events_of_an_abandoned_session_are_dropped() -> None:
    async with staged() as stage:
        stage.started[0][1].child_changed(Key("team", "before"))
        stage.supervisor.restart("storage was restored")
        stage.started[0][1].child_changed(Key("team", "late"))
        stage.started[1][1].child_changed(Key("team", "new"))
        await asyncio.sleep(0.1)
        assert stage.sink.keys == [Key("team", "before"), Key("team", "new")]


async def test_one_scope_that_hangs_leaves_the_others_alone() -> None:
    async with staged() as stage:
        stage.supervisor.watch((ALL, TEAM))
        stage.works(0)
        stage.works(1)
        stage.pass_time(SILENCE_SECONDS / 2)
        stage.works(0)
        stage.pass_time(SILENCE_SECONDS / 2 + 0.5)
        assert [scope for scope, *_ in stage.started] == [ALL, TEAM, TEAM]


async def test_a_scope_that_comes_back_is_listed() -> None:
    async with staged() as stage:
        stage.supervisor.watch((ALL, TEAM))
        stage.supervisor.watch((ALL,))
        stage.supervisor.watch((ALL, TEAM))
        stage.works(0)
        stage.works(2)
        stage.pass_time(0)
        assert stage.restarted == 1


@pytest.mark.parametrize("work", [Never, Fails])
def test_a_thread_ends_whatever_its_work_waits_for(work: type[Never]) -> None:
    doing = work()
    session = WatchSession(doing, "")
    session.start()
    session.abandon()
    eventually(lambda: not session.running)
    assert doing.closed.is_set()
    session.abandon()
