"""Batches on real workers, by an engine whose samples tell how many utterances it synthesized at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import generate_latest

from tests.support.batching_engines import PART, size_of
from tests.support.timeouts import HANG_SECONDS
from tests.support.worker_pools import synthesized, until
from tts_server.app.build import Application, Sources
from tts_server.config.schema import BatchingConfig, ModelConfig, QuotaConfig, ServerConfig, StorageConfig
from tts_server.errors import EngineCrashed, EngineError, EngineNotReady, EngineTimeout
from tts_server.inference.client import Utterance
from tts_server.inference.pool.batch import Batch
from tts_server.inference.pool.worker_client import WorkerClient
from tts_server.inference.pool.worker_pool import WorkerPool
from tts_server.inference.pool.worker_process import WorkerCommand
from tts_server.samples import Samples
from tts_server.scheduling.batching import BatchPolicy
from tts_server.scheduling.fair_queue import Priority, SchedulingParams

BATCHING_ENGINE = "tests.support.batching_engines:BatchingEngine"
BATCH = SchedulingParams(priority=Priority.BATCH, ages_after_seconds=60)


def says(text: str, voice: str = "ann", precision: str = "fp32") -> Utterance:
    return Utterance(text, voice, precision=precision)


@dataclass
class BatchingPool:
    """A pool of one worker, whose queue can be filled before it is free."""

    pool: WorkerPool
    sizes: list[int] = field(default_factory=list)
    """Sizes of the passes that were begun."""
    restarts: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """Keep the worker busy until the block ends, and forget the batches before."""
        parts = self.pool.speak(says("endless"))
        await anext(parts)
        try:
            yield
        finally:
            self.sizes.clear()
            await parts.aclose()

    async def together(self, *wanted: Utterance | tuple[Utterance, SchedulingParams]) -> list[Samples | BaseException]:
        """Replies to several utterances that all wait when the process becomes free."""
        tasks = []
        async with self.busy():
            for number, one in enumerate(wanted):
                utterance, params = one if isinstance(one, tuple) else (one, SchedulingParams())
                tasks.append(asyncio.create_task(heard(self.pool, utterance, params)))
                await until(lambda waiting=number + 1: self.pool.waiting == waiting)  # type: ignore[misc]
        return await asyncio.gather(*tasks, return_exceptions=True)


async def heard(pool: WorkerPool, utterance: Utterance, params: SchedulingParams) -> Samples:
    return np.concatenate([part async for part in pool.speak(utterance, params)])


def sizes(heard: list[Samples | BaseException]) -> list[int]:
    return [0 if isinstance(one, BaseException) else size_of(one) for one in heard]


@asynccontextmanager
async def batching_pool(
    engine: str = BATCHING_ENGINE,
    size: int = 8,
    wait_seconds: float = 0.0,
    processes: int = 1,
    timeout_seconds: float = HANG_SECONDS,
) -> AsyncIterator[BatchingPool]:
    begun: list[int] = []
    restarts: list[str] = []
    pool = WorkerPool(
        engine,
        processes=processes,
        first_audio_timeout_seconds=timeout_seconds,
        batching=BatchPolicy(size, wait_seconds),
        on_batch=begun.append,
        on_restart=restarts.append,
    )
    await pool.start()
    try:
        yield BatchingPool(pool, begun, restarts)
    finally:
        await pool.stop()


async def test_queued_utterances_run_in_one_batch_each_to_its_own_end() -> None:
    async with batching_pool() as acme:
        found = await acme.together(says("a"), says("abc", "bob"), says("slow one"))
        assert sizes(found) == [3, 3, 3]
        assert [one.size for one in found if not isinstance(one, BaseException)] == [PART, 3 * PART, 8 * PART]
        assert acme.sizes == [3]


async def test_a_short_utterance_ends_while_a_long_one_of_its_batch_continues() -> None:
    async with batching_pool() as acme:
        async with acme.busy():
            long = acme.pool.speak(says("endless"))
            going = asyncio.ensure_future(anext(long))
            await until(lambda: acme.pool.waiting == 1)
            short = asyncio.create_task(synthesized(acme.pool, says("ab")))
            await until(lambda: acme.pool.waiting == 2)
        assert size_of(await short) == 2
        await going
        assert size_of(await anext(long)) == 2
        await long.aclose()
        assert size_of(await synthesized(acme.pool, says("after"))) == 1
        assert acme.restarts == []


async def test_more_utterances_than_a_batch_holds_run_in_several() -> None:
    async with batching_pool(size=3) as acme:
        found = await acme.together(*(says("abc") for _ in range(7)))
        assert sizes(found) == [3] * 6 + [1]
        assert acme.sizes == [3, 3, 1]


async def test_only_what_the_engine_and_the_precision_allow_goes_together() -> None:
    async with batching_pool() as acme:
        found = await acme.together(
            says("abc"), says("abc", "cid"), says("abc", precision="int8"), says("abc", "bob"), says("abc", "cid")
        )
        assert sizes(found) == [2, 2, 1, 2, 2]


async def test_work_of_priority_batch_fills_places_but_makes_nobody_wait() -> None:
    async with batching_pool(size=3) as acme:
        short, long = (says("ab"), BATCH), (says("abcdefghij"), BATCH)
        found = await acme.together(long, short, says("abc"), short, says("abcd"), short)
        assert sizes(found) == [3, 3, 3, 3, 3, 3]
        assert acme.sizes == [3, 3]
        found = await acme.together(long, says("abc"))
        assert sizes(found) == [1, 1]


@pytest.mark.parametrize("engine", ["SequentialEngine", "FailingBatchEngine"])
async def test_an_engine_that_gains_nothing_speaks_one_at_a_time(engine: str) -> None:
    async with batching_pool(f"tests.support.batching_engines:{engine}", wait_seconds=600) as acme:
        assert sizes(await acme.together(says("abc"), says("abc"))) == [1, 1]
        assert acme.sizes == []


async def test_an_engine_that_cannot_batch_is_asked_as_ever() -> None:
    async with batching_pool("tests.support.tone_engines:FailingEngine", wait_seconds=600) as acme:
        beeps = await acme.together(says("ok", "beep"), says("ok", "beep"))
        assert [isinstance(one, np.ndarray) for one in beeps] == [True, True]
        assert acme.sizes == []


@pytest.mark.parametrize("poison", ["raise", "crash", "refuse", "nan"])
async def test_one_that_fails_fails_no_other(poison: str) -> None:
    async with batching_pool() as acme:
        found = await acme.together(says(poison), says("abc"), says("abcdef"))
        assert isinstance(found[0], EngineCrashed if poison == "crash" else EngineError)
        assert "secret" not in str(found[0])
        assert [one.size for one in found[1:] if not isinstance(one, BaseException)] == [3 * PART, 6 * PART]


async def test_one_that_hangs_fails_no_other() -> None:
    # As long as the other one waits for a process, which on a busy machine takes seconds to start.
    async with batching_pool(timeout_seconds=5) as acme:
        found = await acme.together(says("hang"), says("abc"))
        # Alone again, it hangs again; where the machine is busy, it may be refused while its process starts anew.
        assert isinstance(found[0], EngineTimeout | EngineNotReady)
        assert sizes(found) == [0, 1]


async def test_a_batch_that_breaks_off_in_the_middle_repeats_no_sound() -> None:
    """Whoever has heard something is told; whoever has heard nothing never notices."""
    async with batching_pool() as acme:
        async with acme.busy():
            long = acme.pool.speak(says("endless"))
            going = asyncio.ensure_future(anext(long))
            await until(lambda: acme.pool.waiting == 1)
            other = acme.pool.speak(says("endless", "bob"))
            going_too = asyncio.ensure_future(anext(other))
            await until(lambda: acme.pool.waiting == 2)
        await asyncio.gather(going, going_too)
        await acme.pool._slots[0].worker.kill()
        for parts in (long, other):
            with pytest.raises(EngineCrashed):
                async for _ in parts:
                    pass
        assert size_of(await synthesized(acme.pool, says("abc"))) == 1


async def test_an_utterance_cancelled_before_the_batch_starts_is_left_out() -> None:
    async with batching_pool() as acme:
        tasks = []
        async with acme.busy():
            for number in range(3):
                tasks.append(asyncio.create_task(synthesized(acme.pool, says("abc"))))
                await until(lambda waiting=number + 1: acme.pool.waiting == waiting)  # type: ignore[misc]
            tasks[1].cancel()
            await asyncio.wait([tasks[1]])
        assert [size_of(await tasks[0]), size_of(await tasks[2])] == [2, 2]


async def test_who_leaves_while_a_batch_begins_is_left_out_of_it() -> None:
    process = WorkerClient(WorkerCommand(BATCHING_ENGINE))
    await process.start(10)
    try:
        batch = Batch(process, [says("a"), says("b"), says("c")])
        batch.members[0].cancel()
        hearing = asyncio.create_task(batch.run(3))
        heard = []
        while (part := await batch.members[2].next_part()) is not None:
            heard.append(part)
        assert (size_of(np.concatenate(heard)), await hearing) == (2, True)
        forsaken = Batch(process, [says("a"), says("b")])
        for member in forsaken.members:
            member.cancel()
        assert not await forsaken.run(3)
        assert process.at_rest
    finally:
        await process.stop()


async def test_one_that_leaves_a_batch_under_way_stops_no_other() -> None:
    async with batching_pool() as acme:
        async with acme.busy():
            leaving = acme.pool.speak(says("endless"))
            first = asyncio.ensure_future(anext(leaving))
            await until(lambda: acme.pool.waiting == 1)
            staying = asyncio.create_task(synthesized(acme.pool, says("slow" * 20)))
            await until(lambda: acme.pool.waiting == 2)
        await first
        await leaving.aclose()
        assert (await staying).size == 80 * PART
        assert size_of(await synthesized(acme.pool, says("abc"))) == 1
        assert acme.restarts == []


async def test_when_the_last_one_leaves_the_engine_stops() -> None:
    async with batching_pool() as acme:
        async with acme.busy():
            parts = [acme.pool.speak(says("endless")) for _ in range(2)]
            begun = []
            for number, one in enumerate(parts):
                begun.append(asyncio.ensure_future(anext(one)))
                await until(lambda waiting=number + 1: acme.pool.waiting == waiting)  # type: ignore[misc]
        await asyncio.gather(*begun)
        for one in parts:
            await one.aclose()
        assert size_of(await synthesized(acme.pool, says("abc"))) == 1
        assert acme.restarts == []


async def test_a_lone_utterance_waits_for_nobody() -> None:
    async with batching_pool(wait_seconds=600) as acme:
        async with asyncio.timeout(HANG_SECONDS):
            assert size_of(await synthesized(acme.pool, says("abc"))) == 1


async def test_the_first_waits_for_company_while_others_run() -> None:
    """Two processes: one is busy, so more are likely to come; when as many are there as go together, they go."""
    async with batching_pool(wait_seconds=600, processes=2, size=3) as acme, acme.busy():
        tasks = [asyncio.create_task(synthesized(acme.pool, says("abc"))) for _ in range(2)]
        await until(lambda: [len(found.items) for found in open_batches(acme.pool)] == [2])
        tasks[1].cancel()
        await until(lambda: [len(found.items) for found in open_batches(acme.pool)] == [1])
        tasks += [asyncio.create_task(synthesized(acme.pool, says("abc"))) for _ in range(2)]
        async with asyncio.timeout(HANG_SECONDS):
            assert [size_of(await task) for task in (tasks[0], *tasks[2:])] == [3, 3, 3]


async def test_the_first_waits_no_longer_than_its_time_and_a_place_is_not_lost() -> None:
    async with batching_pool(wait_seconds=0.05, processes=2) as acme, acme.busy(), asyncio.timeout(HANG_SECONDS):
        assert size_of(await synthesized(acme.pool, says("abc"))) == 1
        leaving = asyncio.create_task(synthesized(acme.pool, says("abc")))
        await until(lambda: len(open_batches(acme.pool)) == 1)
        leaving.cancel()
        await until(lambda: open_batches(acme.pool) == [])
        assert size_of(await synthesized(acme.pool, says("abc"))) == 1


async def test_a_pool_that_stops_ends_who_waits_for_company() -> None:
    async with (
        batching_pool(wait_seconds=600, processes=2) as acme,
        aclosing(acme.pool.speak(says("endless"))) as parts,
    ):
        await anext(parts)
        waiting = asyncio.create_task(synthesized(acme.pool, says("abc")))
        await until(lambda: len(open_batches(acme.pool)) == 1)
        await acme.pool.stop()
        with pytest.raises(EngineCrashed):
            await waiting


def open_batches(pool: WorkerPool) -> list[Any]:
    """Batches that wait for company."""
    return list(pool._dispatcher.batches.open.values())


@pytest.mark.parametrize("batching", [None, BatchingConfig(max_size=4, max_wait_milliseconds=20)])
async def test_a_models_configuration_says_how_it_batches(tmp_path: Path, batching: BatchingConfig | None) -> None:
    model = ModelConfig(name="espeak", batching=batching)
    settings = ServerConfig(models=(model,), storage=StorageConfig(directory=tmp_path))
    application = Application(Sources(settings, QuotaConfig()))
    engine_client = application._engine_client(model)
    assert isinstance(engine_client, WorkerPool)
    assert engine_client._batching == (None if batching is None else BatchPolicy(4, 0.02))
    engine_client._dispatcher._hooks.on_batch(3)
    text = generate_latest(application.server.metrics.registry).decode()
    assert 'tts_batch_size_bucket{le="4.0",model="espeak"} 1.0' in text
    await application.stop()
