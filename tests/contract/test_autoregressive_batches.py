"""Batches of an engine that generates step by step, as CosyVoice's and IndexTTS's language models do, on real workers.

Time is counted in steps of the engine, which its samples tell: they do not depend on how busy the machine is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from tests.support.batching_engines import TOKENS_PER_PART, steps_of
from tests.support.timeouts import HANG_SECONDS
from tests.support.worker_pools import synthesized, until
from tts_server.errors import EngineError
from tts_server.inference.client import Utterance
from tts_server.inference.pool.worker_pool import WorkerPool
from tts_server.samples import Samples
from tts_server.scheduling.batching import BatchPolicy

ENGINE = "tests.support.batching_engines:AutoregressiveEngine"
BUSY = "b" * 4000


class Pool:
    """A pool of one worker, whose queue can be filled before it is free."""

    def __init__(self, pool: WorkerPool, sizes: list[int]) -> None:
        self.pool = pool
        self.sizes = sizes

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        parts = self.pool.speak(Utterance(BUSY, "ann"))
        await anext(parts)
        try:
            yield
        finally:
            self.sizes.clear()
            await parts.aclose()

    async def together(self, *texts: str) -> list[Samples | BaseException]:
        """Replies to texts that all wait, in this order, when the process becomes free."""
        tasks: list[asyncio.Task[Samples]] = []
        async with self.busy():
            for number, text in enumerate(texts):
                tasks.append(asyncio.create_task(synthesized(self.pool, Utterance(text, "ann"))))
                await until(lambda waiting=number + 1: self.pool.waiting == waiting)  # type: ignore[misc]
        return await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def acme() -> AsyncIterator[Pool]:
    sizes: list[int] = []
    pool = WorkerPool(
        ENGINE,
        first_audio_timeout_seconds=HANG_SECONDS,
        batching=BatchPolicy(8, 0.05),
        on_batch=sizes.append,
    )
    await pool.start()
    try:
        yield Pool(pool, sizes)
    finally:
        await pool.stop()


def steps(found: list[Samples | BaseException]) -> list[list[int]]:
    assert all(isinstance(one, np.ndarray) for one in found), found
    return [steps_of(one) for one in found if isinstance(one, np.ndarray)]


async def test_eight_texts_take_the_steps_of_the_longest(acme: Pool) -> None:
    found = steps(await acme.together(*("a" * length for length in (12, 40, 8, 16, 20, 24, 28, 32))))
    assert acme.sizes == [8]
    begun = found[0][0] - TOKENS_PER_PART
    assert max(map(max, found)) - begun == 40, "one after the other they take 180"
    assert [one[-1] - begun for one in found] == [12, 40, 8, 16, 20, 24, 28, 32], "each ends when it is done"


async def test_the_first_audio_of_each_comes_after_as_many_steps_as_alone(acme: Pool) -> None:
    found = steps(await acme.together(*("a" * 16 for _ in range(8))))
    assert len({one[0] for one in found}) == 1
    assert all(np.diff(one).tolist() == [TOKENS_PER_PART] * 3 for one in found), "parts come as they are made, in order"
    alone = steps_of(await synthesized(acme.pool, Utterance("a" * 16, "ann")))
    assert np.diff(alone).tolist() == [TOKENS_PER_PART] * 3


async def test_those_that_came_first_go_first(acme: Pool) -> None:
    found = steps(await acme.together(*("a" * 12 for _ in range(10))))
    assert acme.sizes == [8, 2]
    assert len({tuple(one) for one in found[:8]}) == 1
    assert found[8] == found[9]
    assert found[8][0] == found[0][-1] + TOKENS_PER_PART, "the next batch begins when the first one ends"


async def test_one_that_fails_in_the_middle_ends_alone_and_costs_the_others_no_step(acme: Pool) -> None:
    found = await acme.together("a" * 24, "bbbbbb!bbbbb", "!", "c" * 16)
    assert [type(one) for one in found[1:3]] == [EngineError, EngineError]
    long, short = steps([found[0], found[3]])
    begun = long[0] - TOKENS_PER_PART
    assert (long[-1] - begun, short[-1] - begun) == (24, 16)
    assert np.diff(long).tolist() == [TOKENS_PER_PART] * 5, "nothing is computed again"


async def test_one_that_leaves_in_the_middle_costs_the_others_no_step(acme: Pool) -> None:
    async with acme.busy():
        leaving = acme.pool.speak(Utterance("b" * 2000, "ann"))
        heard = asyncio.ensure_future(anext(leaving))
        await until(lambda: acme.pool.waiting == 1)
        staying = asyncio.create_task(synthesized(acme.pool, Utterance("a" * 400, "ann")))
        await until(lambda: acme.pool.waiting == 2)
    await heard
    await leaving.aclose()
    assert np.diff(steps_of(await staying)).tolist() == [TOKENS_PER_PART] * 99
    assert acme.sizes == [2]
    after = steps_of(await synthesized(acme.pool, Utterance("c" * TOKENS_PER_PART, "ann")))
    assert after[0] - steps_of(await staying)[-1] < 2000 - 400, "the batch ends with the last who hears it"


async def test_the_gain_is_measured_and_worth_it(acme: Pool) -> None:
    measured = acme.pool._slots[0].worker.batch_cost
    assert measured is not None
    assert measured.size == 8
    assert measured.gain > 2
