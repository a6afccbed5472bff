"""A worker pool whose engine fails on request, and what tests ask of a pool."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np

from tests.support.timeouts import HANG_SECONDS
from tts_server.inference.client import EngineClient, Utterance
from tts_server.inference.pool.worker_pool import WorkerPool
from tts_server.samples import Samples

FAILING_ENGINE = "tests.support.tone_engines:FailingEngine"


def patient_pool(engine: str, **options: object) -> WorkerPool:
    """A pool that a busy machine alone does not make time out."""
    patient: dict[str, object] = {"first_audio_timeout_seconds": HANG_SECONDS}
    return WorkerPool(engine, **patient | options)  # type: ignore[arg-type]  # keyword by keyword


@asynccontextmanager
async def failing_pool(**options: object) -> AsyncIterator[WorkerPool]:
    """A started pool of `FailingEngine` workers, which do what their text names."""
    pool = patient_pool(FAILING_ENGINE, **options)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


def beep(text: str) -> Utterance:
    return Utterance(text, "beep")


async def synthesized(engine_client: EngineClient, utterance: Utterance) -> Samples:
    """All samples of the utterance."""
    parts = [part async for part in engine_client.speak(utterance)]
    return np.concatenate([*parts, np.zeros(0, np.int16)])


async def rest_of(parts: AsyncIterator[Samples]) -> None:
    async for _ in parts:
        pass


async def until(condition: Callable[[], bool], *, seconds: float = HANG_SECONDS) -> None:
    """Wait for what happens in other processes."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what it waits for is in other processes
            await asyncio.sleep(0.01)
