"""A process that is told what comes next while it speaks: no pause between two, and nothing lost whatever happens."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
import pytest

from tests.support.engine_calls import FAILING_ENGINE, beep, failing_pool, rest_of, said, until
from tts_server.errors import EngineCrashed, EngineError, EngineTimeout, InvalidAudio, Overloaded
from tts_server.inference.client import Samples, Utterance
from tts_server.inference.pool.slot import WorkerSlot
from tts_server.inference.pool.worker_client import WorkerClient
from tts_server.inference.pool.worker_pool import WorkerPool
from tts_server.inference.wire.frames import Kind
from tts_server.scheduling.fair_queue import SchedulingParams
from tts_server.scheduling.throughput import ThroughputEstimator

NEXT = "the next one"


@dataclass
class Told:
    """A process that speaks, and has been told what comes next."""

    slot: WorkerSlot
    parts: AsyncGenerator[Samples]
    """Parts of the current utterance; one was read already."""
    waiting: asyncio.Task[Samples]
    """The caller of the next utterance."""

    async def rest(self) -> None:
        """Read the rest of the current utterance."""
        await rest_of(self.parts)


@asynccontextmanager
async def told(pool: WorkerPool, first: str) -> AsyncIterator[Told]:
    """`first` is being spoken, and the next one was told. In the end it was heard as it always is."""
    expected = await said(pool, beep(NEXT))
    now = await begun(pool, first)
    yield now
    assert np.array_equal(await asyncio.wait_for(now.waiting, 20), expected)


async def begun(pool: WorkerPool, first: str) -> Told:
    slot = pool._slots[0]
    pool._dispatcher.pace.observe(1, 1e-9)
    parts = pool.speak(beep(first))
    await anext(parts)
    waiting = asyncio.create_task(said(pool, beep(NEXT)))
    await until(lambda: pool.waiting == 1)
    pool._dispatcher.spoken(slot, 1)  # by its pace it will have ended at once
    assert slot.next_request is not None
    assert pool.waiting == 0
    return Told(slot, parts, waiting)


async def test_a_process_goes_on_by_itself() -> None:
    process = WorkerClient(FAILING_ENGINE, 1)
    await process.start(30)
    try:
        texts = ("one", "another")
        alone = [await spoken(process, text) for text in texts]
        await process.ask(beep("one"))
        process.enqueue_next(beep("another"))
        frames = process._pipe._frames
        await until(lambda: [kind for kind, _ in frames].count(Kind.DONE) == 2)
        both = [await heard(process)]
        process.start_next()
        both.append(await heard(process))
        assert all(np.array_equal(*pair) for pair in zip(both, alone, strict=True))
    finally:
        await process.stop()


async def spoken(process: WorkerClient, text: str) -> Samples:
    await process.ask(beep(text))
    return await heard(process)


async def heard(process: WorkerClient) -> Samples:
    parts = []
    while (part := await process.part(10)) is not None:
        parts.append(part)
    return np.concatenate(parts)


async def test_where_many_wait_they_are_told_and_nobody_hears_another(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    enqueue_next = WorkerClient.enqueue_next

    def counted(process: WorkerClient, utterance: Utterance) -> None:
        asked.append(utterance)
        enqueue_next(process, utterance)

    monkeypatch.setattr(WorkerClient, "ask_ahead", counted)
    texts = [f"number {number}" + "." * (number % 7) for number in range(30)]
    async with failing_pool(processes=2) as pool:
        alone = [await said(pool, beep(text)) for text in texts]
        assert not asked, "nobody waited"
        together = await asyncio.gather(*(said(pool, beep(text)) for text in texts))
        assert all(np.array_equal(*pair) for pair in zip(together, alone, strict=True))
        assert len(asked) >= 10


async def test_nobody_is_told_before_it_is_nearly_their_turn() -> None:
    """Whoever comes until then may be more urgent."""
    async with failing_pool() as pool:
        parts = pool.speak(beep("endless"))
        await anext(parts)
        waiting = asyncio.create_task(said(pool, beep(NEXT)))
        await until(lambda: pool.waiting == 1)
        slot = pool._slots[0]
        pool._dispatcher.spoken(slot, 1)
        assert slot.next_request is None, "nobody knows how long it takes"
        pool._dispatcher.pace.observe(1, 0.2)
        pool._dispatcher.spoken(slot, 1)
        assert slot.next_request is None, "it takes longer than that"
        await until(lambda: slot.next_request is not None)
        await parts.aclose()
        assert (await waiting).size > 0


async def test_who_ends_early_is_not_followed_by_a_late_word() -> None:
    async with failing_pool() as pool:
        pool._dispatcher.pace.observe(1, 10.0)
        parts = pool.speak(beep("endless"))
        await anext(parts)
        sending_next = pool._slots[0].sending_next
        assert sending_next is not None
        await parts.aclose()
        assert sending_next.cancelled()


async def test_the_next_is_heard_when_the_one_before_has_ended() -> None:
    async with failing_pool() as pool, told(pool, "slow") as now:
        await now.rest()


async def test_who_leaves_takes_nobody_along() -> None:
    async with failing_pool() as pool:
        pids = pool.pids
        async with told(pool, "endless") as now:
            await now.parts.aclose()
        assert pool.pids == pids


@pytest.mark.parametrize("in_its_moment", [False, True])
async def test_who_was_told_and_leaves_costs_no_process(*, in_its_moment: bool) -> None:
    async with failing_pool() as pool:
        pids = pool.pids
        expected = await said(pool, beep("another"))
        now = await begun(pool, "slow")
        if in_its_moment:
            await now.rest()  # its process was given to it just now, and it has not run since
            assert now.slot.next_request is None
        now.waiting.cancel()
        await asyncio.wait([now.waiting])
        assert now.waiting.cancelled()
        await now.rest()
        assert np.array_equal(await said(pool, beep("another")), expected)
        assert pool.pids == pids


@pytest.mark.parametrize(("first", "failure"), [("crash", EngineCrashed), ("stall", EngineTimeout),
                                                ("raise", EngineError)])  # fmt: skip
async def test_what_was_told_to_a_process_that_fails_is_spoken_by_the_next(
    first: str, failure: type[EngineError]
) -> None:
    async with failing_pool(first_audio_timeout_seconds=1.0) as pool, told(pool, first) as now:
        with pytest.raises(failure):
            await now.rest()


async def test_an_engine_that_babbles_is_replaced_and_the_next_is_spoken() -> None:
    async with failing_pool() as pool:
        pids = pool.pids
        async with told(pool, "babble") as now:
            with pytest.raises(InvalidAudio):
                await now.rest()
        assert pool.pids != pids


async def test_silence_is_looked_into_before_the_next_is_spoken() -> None:
    """The engine is asked for a word that it can say, which must not be taken for what was told."""
    async with failing_pool() as pool:
        pids = pool.pids
        expected = await said(pool, beep(NEXT))
        pool._dispatcher.pace.observe(1, 1e-9)
        held = pool._dispatcher.idle.popleft()
        silent = asyncio.create_task(said(pool, beep("unread")))
        await until(lambda: pool.waiting == 1)
        waiting = asyncio.create_task(said(pool, beep(NEXT)))
        await until(lambda: pool.waiting == 2)
        pool._dispatcher.offer(held)
        assert not (await silent).any()
        assert np.array_equal(await waiting, expected)
        assert pool.pids == pids


async def taken_over(pool: WorkerPool) -> tuple[Told, WorkerSlot]:
    """The first of two processes got the next utterance ahead and never ends its own: the other one takes over."""
    other = pool._slots[1]
    pool._dispatcher.idle.remove(other)
    now = await begun(pool, "endless")
    pool._dispatcher.offer(other)
    return now, other


async def test_a_process_that_is_free_takes_what_another_was_told() -> None:
    async with failing_pool(processes=2) as pool:
        now, _ = await taken_over(pool)
        assert (await now.waiting).size > 0, "the first speaks on"
        await now.parts.aclose()
        one, two = await asyncio.gather(*(said(pool, beep(NEXT)) for _ in range(2)))
        assert np.array_equal(one, two)


async def test_who_leaves_in_the_moment_another_process_takes_it_costs_neither() -> None:
    async with failing_pool(processes=2) as pool:
        now, other = await taken_over(pool)
        now.waiting.cancel()
        await asyncio.wait([now.waiting])
        assert list(pool._dispatcher.idle) == [other]
        await now.parts.aclose()
        await until(lambda: len(pool._dispatcher.idle) == 2)


async def test_who_was_told_is_refused_with_all_who_wait() -> None:
    async with failing_pool() as pool:
        now = await begun(pool, "endless")
        pool.refuse_waiting(Overloaded("There is somebody better.", retry_after_seconds=1))
        with pytest.raises(Overloaded):
            await now.waiting
        await now.parts.aclose()
        assert (await said(pool, beep(NEXT))).size > 0


async def test_what_was_told_is_still_to_be_waited_for() -> None:
    async with failing_pool() as pool:
        now = await begun(pool, "endless")
        pool._dispatcher.pace = ThroughputEstimator()
        pool._dispatcher.pace.observe(1, 1.0)
        with pytest.raises(Overloaded) as caught:
            await rest_of(pool.speak(beep("ok"), SchedulingParams(max_wait_seconds=1)))
        assert caught.value.retry_after_seconds == len(NEXT) + len("endless") / 2
        await now.parts.aclose()
        assert (await now.waiting).size > 0


async def test_memory_is_looked_at_between_two_all_the_same() -> None:
    """While it speaks already, what it needs for that does not count: it is told nothing more, and looked at then."""
    reasons: list[str] = []
    async with failing_pool(memory_limit_bytes=200_000_000, on_restart=reasons.append) as pool:
        expected = await said(pool, beep(NEXT))
        now = await begun(pool, "grow")
        third = asyncio.create_task(said(pool, beep(NEXT)))
        await until(lambda: pool.waiting == 1)
        await now.rest()
        assert now.slot.tight
        assert reasons == []
        pool._dispatcher.spoken(now.slot, 1)
        assert now.slot.next_request is None
        assert np.array_equal(await now.waiting, expected), "it has not been killed for it"
        await until(lambda: reasons == ["memory"])
        assert np.array_equal(await third, expected)
        assert not now.slot.tight
