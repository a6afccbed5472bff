"""Measures the engine alone: its real-time factor on one core, and what its process adds.

.venv/bin/python -m bench.engine
"""

import asyncio
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np

from tts_server.audio import FORMATS, encode_whole
from tts_server.engines.espeak import Espeak
from tts_server.inference.client import Utterance
from tts_server.inference.pool.worker_pool import WorkerPool

SENTENCE = "The quick brown fox jumps over the lazy dog today."
ROUNDS = 100


@dataclass(frozen=True)
class Figures:
    """Medians of 100 rounds of a sentence of ten words."""

    audio_seconds: float
    engine_milliseconds: float
    """The library alone, in this process."""
    real_time_factor: float
    """Computing time over the audio's duration: 0.001 is a thousand times faster than real time."""
    pool_milliseconds: float
    """Seconds through a worker and its pipe, to the last sample."""
    first_audio_milliseconds: float
    start_milliseconds: float
    """Seconds to start a worker and warm it up."""
    encode_milliseconds: dict[str, float]
    """Seconds to encode the same sentence, by format."""


def median_milliseconds(work: Callable[[], object]) -> float:
    """Median duration of `ROUNDS` calls, seconds."""
    return statistics.median(_timed(work) for _ in range(ROUNDS)) * 1000


async def measure() -> Figures:
    """Measure; this takes about ten seconds."""
    engine = Espeak()
    (sound,) = engine.speak(SENTENCE, "en-us", None, 1.0)
    engine_milliseconds = median_milliseconds(lambda: engine.speak(SENTENCE, "en-us", None, 1.0))
    audio_seconds = sound.size / engine.sample_rate_hz
    pool = WorkerPool("espeak")
    begun = time.perf_counter()
    await pool.start()
    started = time.perf_counter() - begun
    rounds = [await _spoken(pool) for _ in range(ROUNDS)]
    await pool.stop()
    first, whole = np.median(np.array(rounds), axis=0) * 1000
    return Figures(
        audio_seconds=audio_seconds,
        engine_milliseconds=engine_milliseconds,
        real_time_factor=engine_milliseconds / 1000 / audio_seconds,
        pool_milliseconds=float(whole),
        first_audio_milliseconds=float(first),
        start_milliseconds=started * 1000,
        encode_milliseconds={
            name: median_milliseconds(partial(encode_whole, sound, name, engine.sample_rate_hz)) for name in FORMATS
        },
    )


async def _spoken(pool: WorkerPool) -> tuple[float, float]:
    begun = time.perf_counter()
    first = 0.0
    async for _ in pool.speak(Utterance(SENTENCE, "en-us")):
        first = first or time.perf_counter() - begun
    return first, time.perf_counter() - begun


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(measure())), indent=2))
