"""Calls of an engine client, and worker pools whose engine fails on demand."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np

from tests.support.timeouts import HANG_SECONDS
from tts_server.inference.client import EngineClient, Samples, Utterance
from tts_server.inference.pool.worker_pool import WorkerPool

FAILING_ENGINE = "tests.support.tone_engines:FailingEngine"


def beep(text: str) -> Utterance:
    return Utterance(text, "beep")


@asynccontextmanager
async def failing_pool(**options: object) -> AsyncIterator[WorkerPool]:
    patient: dict[str, object] = {"first_audio_timeout_seconds": HANG_SECONDS}
    pool = WorkerPool(FAILING_ENGINE, **patient | options)  # type: ignore[arg-type]  # keyword by keyword
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


async def said(engine_client: EngineClient, utterance: Utterance) -> Samples:
    """All of it."""
    parts = [part async for part in engine_client.speak(utterance)]
    return np.concatenate([*parts, np.zeros(0, np.int16)])


async def rest_of(parts: AsyncIterator[Samples]) -> None:
    async for _ in parts:
        pass


async def until(condition: Callable[[], bool], *, seconds: float = HANG_SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what it waits for is in other processes
            await asyncio.sleep(0.01)
