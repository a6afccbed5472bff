"""Measures the time from sending a request for ten words to the first byte of audio, on an open connection, and
from the start of `tts-server` to readiness. One caller; server and engine have all cores.
"""

from __future__ import annotations

import os
import time

from bench.figures import Figure, percentile
from bench.servers import SENTENCE, Caller, running

ROUNDS = 200


def measure() -> list[Figure]:
    started = time.perf_counter()
    with running(os.sched_getaffinity(0)) as server:
        figures = [Figure("start to ready", time.perf_counter() - started, "s", "at most 5 s to the first speech")]
        for response_format in ("pcm", "wav", "mp3", "opus"):
            caller = Caller(server.port, SENTENCE, response_format)
            caller.ask()
            milliseconds = [caller.ask()[0] * 1e3 for _ in range(ROUNDS)]
            figures += [
                Figure(f"first byte, {response_format}, P{percent}", percentile(milliseconds, percent), "ms")
                for percent in (50, 99)
            ]
    return figures
