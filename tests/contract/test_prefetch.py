"""A worker that is sent its next utterance while it runs one: no pause between them, and none is lost."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
import pytest

from tests.support.worker_pools import FAILING_ENGINE, beep, failing_pool, rest_of, synthesized, until
from tts_server.errors import EngineCrashed, EngineError, EngineTimeout, InvalidAudio, Overloaded
from tts_server.inference.client import Utterance
from tts_server.inference.pool.slot import WorkerSlot
from tts_server.inference.pool.worker_client import WorkerClient
from tts_server.inference.pool.worker_pool import WorkerPool
from tts_server.inference.pool.worker_process import WorkerCommand
from tts_server.inference.wire.frames import Kind
from tts_server.samples import Samples
from tts_server.scheduling.fair_queue import SchedulingParams
from tts_server.scheduling.throughput import ThroughputEstimator
from tts_server.text.duration_estimate import LETTER_SECONDS

NEXT = "the next one"


@dataclass
class Running:
    """A worker that runs an utterance and was sent the next one."""

    slot: WorkerSlot
    parts: AsyncGenerator[Samples]
    """The running utterance, of which one part was read."""
    waiting: asyncio.Task[Samples]
    """Reads the next utterance."""

    async def rest(self) -> None:
        await rest_of(self.parts)


@asynccontextmanager
async def running(pool: WorkerPool, first: str) -> AsyncIterator[Running]:
    """`first` runs and `NEXT` was sent ahead. In the end `NEXT` is synthesized as always."""
    expected = await synthesized(pool, beep(NEXT))
    now = await begun(pool, first)
    yield now
    assert np.array_equal(await asyncio.wait_for(now.waiting, 20), expected)


async def begun(pool: WorkerPool, first: str) -> Running:
    slot = pool._slots[0]
    pool._dispatcher.throughput.observe(1, 1e-9)
    parts = pool.speak(beep(first))
    await anext(parts)
    waiting = asyncio.create_task(synthesized(pool, beep(NEXT)))
    await until(lambda: pool.waiting == 1)
    pool._dispatcher.plan_prefetch(slot, 1)  # it is predicted to end at once
    assert slot.next_request is not None
    assert pool.waiting == 0
    return Running(slot, parts, waiting)


async def test_a_worker_runs_what_was_sent_ahead_by_itself() -> None:
    process = WorkerClient(WorkerCommand(FAILING_ENGINE))
    await process.start(30)
    try:
        texts = ("one", "another")
        alone = [await run_alone(process, text) for text in texts]
        await process.begin(beep("one"))
        process.enqueue_next(beep("another"))
        assert process._process is not None
        frames = process._process.pipe._frames
        await until(lambda: [kind for kind, _ in frames].count(Kind.DONE) == 2)
        both = [await read_all(process)]
        process.start_next()
        both.append(await read_all(process))
        assert all(np.array_equal(*pair) for pair in zip(both, alone, strict=True))
    finally:
        await process.stop()


async def run_alone(process: WorkerClient, text: str) -> Samples:
    await process.begin(beep(text))
    return await read_all(process)


async def read_all(process: WorkerClient) -> Samples:
    parts = []
    while (part := await process.next_part(10)) is not None:
        parts.append(part)
    return np.concatenate(parts)


async def test_utterances_sent_ahead_never_get_the_audio_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    enqueue_next = WorkerClient.enqueue_next

    def counted(process: WorkerClient, utterance: Utterance) -> None:
        asked.append(utterance)
        enqueue_next(process, utterance)

    monkeypatch.setattr(WorkerClient, "enqueue_next", counted)
    texts = [f"number {number}" + "." * (number % 7) for number in range(30)]
    async with failing_pool(processes=2) as pool:
        alone = [await synthesized(pool, beep(text)) for text in texts]
        assert not asked, "none was queued"
        together = await asyncio.gather(*(synthesized(pool, beep(text)) for text in texts))
        assert all(np.array_equal(*pair) for pair in zip(together, alone, strict=True))
        assert len(asked) >= 10


async def test_the_next_utterance_is_sent_only_shortly_before_the_end() -> None:
    """One that arrives until then may be more urgent."""
    async with failing_pool() as pool:
        parts = pool.speak(beep("endless"))
        await anext(parts)
        waiting = asyncio.create_task(synthesized(pool, beep(NEXT)))
        await until(lambda: pool.waiting == 1)
        slot = pool._slots[0]
        pool._dispatcher.plan_prefetch(slot, 1)
        assert slot.next_request is None, "its duration cannot be predicted yet"
        pool._dispatcher.throughput.observe(1, 0.2)
        pool._dispatcher.plan_prefetch(slot, 1)
        assert slot.next_request is None, "it takes longer than that"
        await until(lambda: slot.next_request is not None)
        await parts.aclose()
        assert (await waiting).size > 0


async def test_an_utterance_that_ends_early_cancels_the_timer() -> None:
    async with failing_pool() as pool:
        pool._dispatcher.throughput.observe(1, 10.0)
        parts = pool.speak(beep("endless"))
        await anext(parts)
        sending_next = pool._slots[0].sending_next
        assert sending_next is not None
        await parts.aclose()
        assert sending_next.cancelled()


async def test_the_next_utterance_follows_the_end_of_the_running_one() -> None:
    async with failing_pool() as pool, running(pool, "slow") as now:
        await now.rest()


async def test_cancelling_the_running_utterance_keeps_the_next() -> None:
    async with failing_pool() as pool:
        pids = pool.pids
        async with running(pool, "endless") as now:
            await now.parts.aclose()
        assert pool.pids == pids


@pytest.mark.parametrize("in_its_moment", [False, True])
async def test_cancelling_the_next_utterance_costs_no_worker(*, in_its_moment: bool) -> None:
    async with failing_pool() as pool:
        pids = pool.pids
        expected = await synthesized(pool, beep("another"))
        now = await begun(pool, "slow")
        if in_its_moment:
            await now.rest()  # it was assigned the worker just now, and has not run since
            assert now.slot.next_request is None
        now.waiting.cancel()
        await asyncio.wait([now.waiting])
        assert now.waiting.cancelled()
        await now.rest()
        assert np.array_equal(await synthesized(pool, beep("another")), expected)
        assert pool.pids == pids


@pytest.mark.parametrize(("first", "failure"), [("crash", EngineCrashed), ("stall", EngineTimeout),
                                                ("raise", EngineError)])  # fmt: skip
async def test_an_utterance_sent_to_a_worker_that_fails_runs_on_its_replacement(
    first: str, failure: type[EngineError]
) -> None:
    async with failing_pool(first_audio_timeout_seconds=4.0) as pool, running(pool, first) as now:
        with pytest.raises(failure):
            await now.rest()


async def test_a_worker_with_invalid_audio_is_replaced_and_the_next_utterance_runs() -> None:
    async with failing_pool() as pool:
        pids = pool.pids
        async with running(pool, "surge") as now:
            with pytest.raises(InvalidAudio):
                await now.rest()
        assert pool.pids != pids


async def test_silence_is_checked_before_the_next_utterance_runs() -> None:
    """The check synthesizes a text of its own, which must not be taken for the utterance that was sent ahead."""
    async with failing_pool() as pool:
        pids = pool.pids
        expected = await synthesized(pool, beep(NEXT))
        pool._dispatcher.throughput.observe(1, 1e-9)
        held = pool._dispatcher.idle.popleft()
        silent = asyncio.create_task(synthesized(pool, beep("unread")))
        await until(lambda: pool.waiting == 1)
        waiting = asyncio.create_task(synthesized(pool, beep(NEXT)))
        await until(lambda: pool.waiting == 2)
        pool._dispatcher.offer(held)
        assert not (await silent).any()
        assert np.array_equal(await waiting, expected)
        assert pool.pids == pids


async def taken_over(pool: WorkerPool) -> tuple[Running, WorkerSlot]:
    """The second of two workers takes over what was sent to the first, which runs an endless utterance."""
    other = pool._slots[1]
    pool._dispatcher.idle.remove(other)
    now = await begun(pool, "endless")
    pool._dispatcher.offer(other)
    return now, other


async def test_an_idle_worker_takes_over_what_was_sent_to_another() -> None:
    async with failing_pool(processes=2) as pool:
        now, _ = await taken_over(pool)
        assert (await now.waiting).size > 0, "the first is still busy"
        await now.parts.aclose()
        one, two = await asyncio.gather(*(synthesized(pool, beep(NEXT)) for _ in range(2)))
        assert np.array_equal(one, two)


async def test_cancelling_at_the_moment_of_the_takeover_costs_no_worker() -> None:
    async with failing_pool(processes=2) as pool:
        now, other = await taken_over(pool)
        now.waiting.cancel()
        await asyncio.wait([now.waiting])
        assert list(pool._dispatcher.idle) == [other]
        await now.parts.aclose()
        await until(lambda: len(pool._dispatcher.idle) == 2)


async def test_an_utterance_sent_ahead_is_refused_with_the_queue() -> None:
    async with failing_pool() as pool:
        now = await begun(pool, "endless")
        pool.refuse_waiting(Overloaded("There is somebody better.", retry_after_seconds=1))
        with pytest.raises(Overloaded):
            await now.waiting
        await now.parts.aclose()
        assert (await synthesized(pool, beep(NEXT))).size > 0


async def test_an_utterance_sent_ahead_counts_in_the_predicted_wait() -> None:
    async with failing_pool() as pool:
        now = await begun(pool, "endless")
        pool._dispatcher.throughput = ThroughputEstimator()
        pool._dispatcher.throughput.observe(LETTER_SECONDS, 1.0)
        with pytest.raises(Overloaded) as caught:
            await rest_of(pool.speak(beep("ok"), SchedulingParams(max_wait_seconds=1)))
        assert caught.value.retry_after_seconds == pytest.approx(len(NEXT) + len("endless"), abs=3)
        await now.parts.aclose()
        assert (await now.waiting).size > 0


async def test_memory_is_checked_between_two_utterances_all_the_same() -> None:
    """While the next one runs, its memory does not count: nothing more is sent ahead, and memory is checked then."""
    reasons: list[str] = []
    async with failing_pool(memory_limit_bytes=200_000_000, on_restart=reasons.append) as pool:
        expected = await synthesized(pool, beep(NEXT))
        now = await begun(pool, "grow")
        third = asyncio.create_task(synthesized(pool, beep(NEXT)))
        await until(lambda: pool.waiting == 1)
        await now.rest()
        assert now.slot.over_memory_limit
        assert reasons == []
        pool._dispatcher.plan_prefetch(now.slot, 1)
        assert now.slot.next_request is None
        assert np.array_equal(await now.waiting, expected), "it was not killed for it"
        await until(lambda: reasons == ["memory"])
        assert np.array_equal(await third, expected)
        assert not now.slot.over_memory_limit
