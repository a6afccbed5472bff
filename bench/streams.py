"""Measures the time from sending a request for a paragraph of 100 words to the first byte of audio, with this many
callers at once. WAV over connections that stay open; server, engine processes and callers share all cores.
"""

from __future__ import annotations

import asyncio
import os

from bench.beside import SECONDS
from bench.figures import Figure, Result
from bench.load import Endpoint, keep_asking, speech
from bench.servers import SENTENCE, running

STREAMS = (1, 4, 16)
PARAGRAPH = " ".join([SENTENCE] * 10)


def measure() -> Result:
    figures = []
    series: dict[str, list[tuple[float, float]]] = {"P50": [], "P95": []}
    with running(os.sched_getaffinity(0)) as server:
        for streams in STREAMS:
            load = keep_asking(Endpoint(server.port), speech([PARAGRAPH]), callers=streams, seconds=SECONDS)
            heard = asyncio.run(load)
            for percent in (50, 95):
                milliseconds = heard.first_percentile(percent) * 1e3
                series[f"P{percent}"].append((streams, milliseconds))
                figures.append(Figure(f"{streams} streams: first audio, P{percent}", milliseconds, "ms"))
            figures.append(Figure(f"{streams} streams: paragraphs", heard.per_second, "/s", f"{heard.failed} failed"))
    return Result(figures, series)
