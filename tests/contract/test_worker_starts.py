"""Starts of workers that fail for the system's reasons, not the engine's: they are tried again, and nobody hangs."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.exhausted import no_free_descriptor
from tests.support.timeouts import HANG_SECONDS
from tests.support.worker_pools import FAILING_ENGINE, beep, failing_pool, rest_of, synthesized, until
from tts_server.errors import EngineCrashed, EngineNotReady, Overloaded
from tts_server.inference.pool.worker_client import WorkerClient
from tts_server.inference.pool.worker_pool import WorkerPool
from tts_server.scheduling.fair_queue import SchedulingParams


def readiness(pool: WorkerPool) -> str:
    """Readiness, read anew: mypy remembers a property from one line to the next."""
    return "ready" if pool.ready else "not ready"


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_without_a_free_descriptor_the_pool_is_not_ready_and_back_when_there_is_one() -> None:
    async with failing_pool() as pool:
        before = open_descriptors()
        with no_free_descriptor() as descriptors:

            def has_given_up() -> bool:
                descriptors.take()  # those of the process that has ended, too
                return not pool.ready

            os.kill(pool.pids[0], signal.SIGKILL)
            await until(has_given_up)
            assert pool.pids == []
            begun = time.monotonic()
            with pytest.raises(EngineNotReady, match="the server restarts it"):
                await synthesized(pool, beep("ok"))
            assert time.monotonic() - begun < HANG_SECONDS / 2, "nobody waits for a process that cannot be started"
        await until(lambda: pool.ready)
        assert (await synthesized(pool, beep("ok"))).size > 0
        assert len(pool.pids) == 1
        assert open_descriptors() == before, "a start that fails leaves nothing open"


async def test_whatever_a_start_raises_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without room raises more than one kind: no thread, no memory, no process."""
    failures = [RuntimeError("can't start new thread"), MemoryError(), OSError(11, "Resource temporarily unavailable")]
    start = WorkerClient.start

    async def fails_first(worker: WorkerClient, load_timeout_seconds: float) -> None:
        if failures:
            raise failures.pop(0)
        await start(worker, load_timeout_seconds)

    async with failing_pool() as pool:
        killed = pool.pids[0]
        monkeypatch.setattr(WorkerClient, "start", fails_first)
        os.kill(killed, signal.SIGKILL)
        await until(lambda: not failures and pool.ready and killed not in pool.pids)
        assert (await synthesized(pool, beep("ok"))).size > 0


async def test_who_waits_when_no_process_can_be_started_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with failing_pool() as pool:
        waiting = [asyncio.create_task(synthesized(pool, beep(text))) for text in ("stall", "ok", "ok")]
        await until(lambda: pool.waiting == 2)
        with monkeypatch.context() as broken:
            broken.setattr(sys, "executable", str(tmp_path / "none"))
            os.kill(pool.pids[0], signal.SIGKILL)
            begun = time.monotonic()
            failures = await asyncio.gather(*waiting, return_exceptions=True)
            assert time.monotonic() - begun < HANG_SECONDS / 2, "told at the second failed start, not by a timeout"
        assert [type(failure).__name__ for failure in failures] == ["EngineCrashed", "EngineNotReady", "EngineNotReady"]
        await until(lambda: pool.ready)
        assert (await synthesized(pool, beep("ok"))).size > 0


@pytest.mark.parametrize("failure", ["no program", "no permission", "no directory to start in"])
async def test_the_first_start_says_why_it_fails(failure: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "python"
    if failure == "no permission":
        program.write_text("#!/bin/sh")
    elif failure == "no directory to start in":
        program = program / "below" / "nothing"
    monkeypatch.setattr(sys, "executable", str(program))
    pool, before = WorkerPool(FAILING_ENGINE), open_descriptors()
    with pytest.raises(EngineNotReady, match=r"cannot be started: (No such file|Permission denied)"):
        await pool.start()
    assert (pool.pids, pool.ready) == ([], False)
    assert open_descriptors() == before


async def test_an_idle_process_that_dies_is_replaced_without_a_request() -> None:
    reasons: list[str] = []
    async with failing_pool(processes=2, on_restart=reasons.append) as pool:
        before = set(pool.pids)
        os.kill(min(before), signal.SIGKILL)
        await until(lambda: len(pool.pids) == 2 and set(pool.pids) != before)
        assert max(before) in pool.pids
    assert reasons == ["crashed"]


# Waiting for a worker.


@asynccontextmanager
async def slow_to_load_pool(first_audio_timeout_seconds: float) -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(
        "tests.support.tone_engines:SlowToLoadEngine", first_audio_timeout_seconds=first_audio_timeout_seconds
    )
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


@dataclass
class Loading:
    """Decides how long workers load: as long as the file exists."""

    file: Path

    def begin(self) -> None:
        self.file.touch()

    def end(self) -> None:
        self.file.unlink()


@pytest.fixture
def loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loading:
    file = tmp_path / "loading"
    monkeypatch.setenv("SLOW_TO_LOAD_FILE", str(file))
    return Loading(file)


async def test_while_the_only_process_loads_nobody_waits_longer_than_for_first_audio(loading: Loading) -> None:
    async with slow_to_load_pool(2.0) as pool:
        playing = pool.speak(beep("stall"))
        await anext(playing)
        queued = asyncio.create_task(synthesized(pool, beep("queued before")))
        await until(lambda: pool.waiting == 1)
        loading.begin()
        begun = time.monotonic()
        os.kill(pool.pids[0], signal.SIGKILL)
        with pytest.raises(EngineCrashed):
            await rest_of(playing)
        assert readiness(pool) == "ready", "it may be back in time"
        later = asyncio.create_task(synthesized(pool, beep("queued after")))
        for waiting in (queued, later):
            with pytest.raises(EngineNotReady, match="not loaded; the server restarts it"):
                await waiting
        assert time.monotonic() - begun >= 2.0
        with pytest.raises(EngineNotReady):
            await synthesized(pool, beep("too late"))
        assert readiness(pool) == "not ready"
        loading.end()
        await until(lambda: pool.ready)
        assert (await synthesized(pool, beep("ok"))).size > 0


async def test_a_process_that_loads_in_time_keeps_who_waits(loading: Loading) -> None:
    async with slow_to_load_pool(60.0) as pool:
        killed = pool.pids[0]
        os.kill(killed, signal.SIGKILL)
        await until(lambda: killed not in pool.pids)
        assert (await synthesized(pool, beep("ok"))).size > 0


async def test_the_longest_wait_holds_when_the_prediction_was_wrong() -> None:
    async with failing_pool() as pool:
        async with aclosing(pool.speak(beep("stall"))) as playing:
            await anext(playing)
            begun = time.monotonic()
            with pytest.raises(Overloaded, match="Too many requests are queued"):
                async for _ in pool.speak(beep("first"), SchedulingParams(max_wait_seconds=0.3)):
                    pass
            assert 0.3 <= time.monotonic() - begun < 30
            assert pool.waiting == 0
        assert (await synthesized(pool, beep("ok"))).size > 0


async def test_the_longest_wait_holds_for_what_was_sent_ahead_too() -> None:
    async with failing_pool() as pool:
        for _ in range(3):
            await synthesized(pool, beep("ok"))  # now the pool knows how long an utterance takes
        async with aclosing(pool.speak(beep("stall"))) as playing:
            await anext(playing)
            waiting = [
                asyncio.create_task(rest_of(pool.speak(beep(text), SchedulingParams(max_wait_seconds=1.0))))
                for text in ("sent ahead", "queued")
            ]
            failures = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(failure) for failure in failures] == [Overloaded, Overloaded]
        assert (await synthesized(pool, beep("ok"))).size > 0


async def test_the_longest_wait_while_nothing_is_loaded_is_a_failure_of_the_engine(loading: Loading) -> None:
    """So that a fallback speaks: `Overloaded` would be the answer."""
    async with slow_to_load_pool(60.0) as pool:
        loading.begin()
        os.kill(pool.pids[0], signal.SIGKILL)
        await until(lambda: pool.pids == [])
        with pytest.raises(EngineNotReady):
            async for _ in pool.speak(beep("first"), SchedulingParams(max_wait_seconds=0.3)):
                pass
        loading.end()
        assert (await synthesized(pool, beep("ok"))).size > 0
