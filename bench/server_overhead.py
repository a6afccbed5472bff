"""Measures `/v1/audio/speech` of a `tts-server` that has one core for itself and its engine process, with its callers
on another core, beside the engine library alone on that same core. WAV, so that nothing is resampled or compressed;
each request is logged, as in production. Both run in many short turns, because the speed of a core varies.
"""

from __future__ import annotations

from bench.beside import in_turns, on_cores, two_cores
from bench.figures import Figure
from bench.load import Endpoint
from bench.servers import SENTENCE, running

CALLERS = (4, 64)
TEXTS = {
    "a sentence of 10 words": SENTENCE,
    "a paragraph of 100 words": " ".join([SENTENCE] * 10),
    "a page of 300 words": " ".join([SENTENCE] * 30),
}


def measure() -> list[Figure]:
    core, others = two_cores()
    figures = []
    with running([core]) as server, on_cores(*others):
        for name, text in TEXTS.items():
            for callers in CALLERS:
                found = in_turns(server, Endpoint(server.port), text.format, callers=callers, engine_core=core)
                figures += found.figures(f"{name}, {callers} callers", "aim: at most 15 %")
    return figures
