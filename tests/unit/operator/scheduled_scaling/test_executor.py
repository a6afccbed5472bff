"""All bounds that move in one second move before anything else happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from tts_operator.clock import SystemClock
from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import Conflict, Unreachable
from tts_operator.objects.keys import Key
from tts_operator.objects.manifest import Body, Manifest, Ref
from tts_operator.plan.actions import Apply
from tts_operator.scheduled_scaling.executor import MAX_CONCURRENT_WRITES, MAX_PAUSE_SECONDS, VALID_FOR, ScalingExecutor

MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)


class Recorder:
    """An API server's side of the writes: what came, in order, and what it answers to each."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.answers: dict[str, Exception] = {}
        self.answered = asyncio.Event()
        """Cleared: nothing is."""
        self.answered.set()

    async def apply(self, manifest: Manifest, *, force: bool) -> Body:
        await self.answered.wait()
        await asyncio.sleep(0.001)
        self.log.append(f"{manifest.ref.name}{'' if force else ' without force'}")
        if manifest.ref.name in self.answers:
            raise self.answers[manifest.ref.name]
        return manifest.body


def key(number: int) -> Key:
    return Key("team", f"tenant-{number}")


def move(number: int) -> Apply:
    ref = Ref("autoscaling/v2", "HorizontalPodAutoscaler", "team", f"hpa-{number}")
    return Apply(Manifest(ref, {}), "min 3 -> 1")


class StoppedClock(SystemClock):
    """Shows one instant."""

    def __init__(self, at: datetime) -> None:
        self._at = at

    def now(self) -> datetime:
        return self._at


@asynccontextmanager
async def running(recorder: Recorder, now: datetime = MIDNIGHT) -> AsyncIterator[tuple[ScalingExecutor, list[Key]]]:
    """A mover, and the keys whose moves it says were made. Reconciles are noted with the writes."""
    moved: list[Key] = []
    mover = ScalingExecutor(cast("Cluster", cast("Any", recorder)), StoppedClock(now), lambda key, _: moved.append(key))
    task = asyncio.create_task(mover.run(lambda key: recorder.log.append(f"reconcile {key.name}")))
    yield mover, moved
    task.cancel()


async def until(recorder: Recorder, reconciles: int) -> None:
    async with asyncio.timeout(5):
        while sum(line.startswith("reconcile") for line in recorder.log) < reconciles:  # noqa: ASYNC110 - a log
            await asyncio.sleep(0.001)


async def test_every_move_comes_before_the_first_reconcile() -> None:
    recorder = Recorder()
    async with running(recorder) as (mover, moved):
        for number in range(50):
            mover.prepare(key(number), [move(number)])
        for number in range(50):
            mover.begin(key(number), MIDNIGHT)
        await until(recorder, 50)
    assert set(recorder.log[:50]) == {f"hpa-{number}" for number in range(50)}
    assert recorder.log[50:] == [f"reconcile tenant-{number}" for number in range(50)]
    assert sorted(moved) == sorted(key(number) for number in range(50))


async def test_other_work_waits_for_the_last_move_but_not_for_ever() -> None:
    recorder = Recorder()
    async with running(recorder) as (mover, _):
        await mover.wait_idle()
        for number in range(50):
            mover.prepare(key(number), [move(number)])
            mover.begin(key(number), MIDNIGHT)
        await mover.wait_idle()
        assert len([line for line in recorder.log if line.startswith("hpa")]) == 50
        recorder.answered.clear()
        mover.prepare(key(50), [move(50)])
        mover.begin(key(50), MIDNIGHT)
        begun = asyncio.get_running_loop().time()
        await mover.wait_idle()
        assert asyncio.get_running_loop().time() - begun == pytest.approx(MAX_PAUSE_SECONDS)
        assert "hpa-50" not in recorder.log
        recorder.answered.set()
        await until(recorder, 51)


async def test_a_key_with_nothing_prepared_is_reconciled_all_the_same() -> None:
    recorder = Recorder()
    async with running(recorder) as (mover, moved):
        mover.begin(key(1), MIDNIGHT)
        await until(recorder, 1)
    assert recorder.log == ["reconcile tenant-1"]
    assert moved == []


async def test_a_tenant_that_changed_since_is_left_to_its_reconcile() -> None:
    recorder = Recorder()
    async with running(recorder) as (mover, moved):
        mover.prepare(key(1), [move(1)])
        mover.forget(key(1))
        mover.begin(key(1), MIDNIGHT)
        await until(recorder, 1)
    assert recorder.log == ["reconcile tenant-1"]
    assert moved == []


async def test_what_was_prepared_for_an_instant_long_past_is_not_written() -> None:
    """A replica that leads again by day must not make it night, not even for a moment."""
    recorder = Recorder()
    async with running(recorder, MIDNIGHT + VALID_FOR) as (mover, moved):
        mover.prepare(key(1), [move(1)])
        mover.begin(key(1), MIDNIGHT)
        await until(recorder, 1)
    assert recorder.log == ["reconcile tenant-1"]
    assert moved == []
    async with running(recorder, MIDNIGHT + VALID_FOR - timedelta(seconds=1)) as (mover, moved):
        mover.prepare(key(1), [move(1)])
        mover.begin(key(1), MIDNIGHT)
        await until(recorder, 2)
    assert moved == [key(1)]


async def test_a_move_is_made_once() -> None:
    recorder = Recorder()
    async with running(recorder) as (mover, _):
        mover.prepare(key(1), [move(1)])
        for reconciles in (1, 2):
            mover.begin(key(1), MIDNIGHT)
            await until(recorder, reconciles)
    assert recorder.log == ["hpa-1", "reconcile tenant-1", "reconcile tenant-1"]


@pytest.mark.parametrize(
    "answer",
    [Conflict("Conflict", "uid mismatch"), OSError("token file")],
    ids=["refused", "broken by what nobody expected"],
)
async def test_one_that_fails_does_not_stop_the_others(answer: Exception) -> None:
    recorder = Recorder()
    recorder.answers["hpa-0"] = answer
    async with running(recorder) as (mover, moved):
        for number in range(3):
            mover.prepare(key(number), [move(number)])
            mover.begin(key(number), MIDNIGHT)
        await until(recorder, 3)
    assert sorted(moved) == [key(1), key(2)]


async def test_an_api_server_that_does_not_answer_is_asked_no_more_than_needed() -> None:
    recorder = Recorder()
    recorder.answers = {f"hpa-{number}": Unreachable("no answer") for number in range(50)}
    async with running(recorder) as (mover, moved):
        for number in range(50):
            mover.prepare(key(number), [move(number)])
            mover.begin(key(number), MIDNIGHT)
        await until(recorder, 50)
    assert sum(line.startswith("hpa") for line in recorder.log) == MAX_CONCURRENT_WRITES
    assert moved == []


async def test_what_has_changed_since_it_was_prepared_is_not_written_at_its_instant() -> None:
    """An edit in the last moment, of which no event has been handled yet: its reconcile decides."""
    recorder, current = Recorder(), [True, False]
    async with running(recorder) as (mover, moved):
        for number in (0, 1):
            mover.prepare(key(number), [move(number)], lambda number=number: current[number])  # type: ignore[misc]
            mover.begin(key(number), MIDNIGHT)
        await until(recorder, 2)
    assert [line for line in recorder.log if line.startswith("hpa")] == ["hpa-0"]
    assert moved == [key(0)]
