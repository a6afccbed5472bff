"""Measures eSpeak NG on a sentence of ten words: the library, its process and pipe, and each encoder. Medians of 100
rounds.
"""

from __future__ import annotations

from bench import engine
from bench.figures import Figure


async def measure() -> list[Figure]:
    found = await engine.measure()
    return [
        Figure("the sentence's sound", found.audio_seconds, "s"),
        Figure("the library alone", found.engine_milliseconds, "ms", f"real-time factor {found.real_time_factor:.4f}"),
        Figure("through its process, first audio", found.first_audio_milliseconds, "ms"),
        Figure("through its process, whole", found.pool_milliseconds, "ms"),
        Figure("from nothing to a warm process", found.start_milliseconds, "ms"),
        *(Figure(f"encoding it to {name}", value, "ms") for name, value in found.encode_milliseconds.items()),
    ]
