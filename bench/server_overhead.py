"""`/v1/audio/speech` of a `tts-server` that has one core for itself and its engine process, with its callers on another
core, beside the engine library alone on that same core. WAV, so that nothing is resampled or compressed; each request
is logged, as in production. The engine alone is measured before and after the server, because the core may not stay as
fast as it was.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.figures import Figure
from bench.servers import SENTENCE, Throughput, running, throughput
from tts_server.engines.espeak import Espeak

SECONDS = 10.0
CALLERS = (4, 64)
TEXTS = {
    "a sentence of 10 words": SENTENCE,
    "a paragraph of 100 words": " ".join([SENTENCE] * 10),
    "a page of 300 words": " ".join([SENTENCE] * 30),
}


def measure() -> list[Figure]:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise RuntimeError("it takes two cores: one for the server, one for its callers")
    server_core, *caller_cores = cores
    figures = []
    with running([server_core]) as server:
        for text_name, text in TEXTS.items():
            for callers in CALLERS:
                with on_cores(server_core):
                    before = engine_alone(text)
                with on_cores(*caller_cores):
                    found = throughput(server, text, "wav", callers=callers, seconds=SECONDS)
                with on_cores(server_core):
                    after = engine_alone(text)
                alone = [(one + other) / 2 for one, other in zip(before, after, strict=True)]
                figures += _figures(f"{text_name}, {callers} callers", alone, found)
    return figures


def _figures(name: str, alone: Sequence[float], found: Throughput) -> list[Figure]:
    engine, engine_milliseconds = alone
    computed = found.server_milliseconds + found.engine_milliseconds
    return [
        Figure(f"{name}: the engine alone", engine, "/s"),
        Figure(f"{name}: the server", found.per_second, "/s"),
        Figure(f"{name}: overhead", (1 - found.per_second / engine) * 100, "%", "aim: at most 15 %"),
        Figure(f"{name}: processor time, the engine alone", engine_milliseconds, "ms"),
        Figure(
            f"{name}: processor time, the engine's process",
            found.engine_milliseconds,
            "ms",
            f"{(found.engine_milliseconds / engine_milliseconds - 1) * 100:+.1f} %",
        ),
        Figure(f"{name}: processor time, the server", found.server_milliseconds, "ms"),
        Figure(
            f"{name}: overhead in processor time",
            (1 - engine_milliseconds / computed) * 100,
            "%",
            "the same question, whatever else the machine does",
        ),
    ]


def engine_alone(text: str) -> tuple[float, float]:
    """How often in a second the library speaks the whole text, in this process; and its processor time in ms."""
    engine = Espeak()
    for _ in engine.speak(text, "en-us", None, 1.0):
        pass
    count, started, computed = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() < started + SECONDS / 2:
        for _ in engine.speak(text, "en-us", None, 1.0):
            pass
        count += 1
    return count / (time.perf_counter() - started), (time.process_time() - computed) * 1e3 / count


@contextmanager
def on_cores(*cores: int) -> Iterator[None]:
    """This process, and what it starts, stays on these."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
