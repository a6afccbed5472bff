"""Requests with and without `FastPath`, which calls the endpoints that speak without FastAPI's layers. Two servers on
one core take turns, with their callers on another: everything else is the same. Processor time is the server's own,
without its engine's. Ratios are medians over the turns.

As a program, it is `tts-server` without `FastPath`: FastAPI's routes answer.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from starlette.types import ASGIApp

from bench.beside import on_cores, two_cores
from bench.figures import Figure
from bench.load import Endpoint, keep_asking
from bench.servers import SENTENCE, Running, running
from tts_server.app import asgi
from tts_server.cli import main

TURNS = 15
TURN_SECONDS = 0.7
CALLERS = 8
CACHED = {"cache": {"enabled": True}}
WITHOUT = (sys.executable, "-m", "bench.fast_path")
SPEECH = {"model": "tts-1", "voice": "alloy", "input": SENTENCE, "response_format": "wav"}
REQUESTS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    # what                         path                   body                                config
    "speech out of the cache":    ("/v1/audio/speech",    SPEECH,                             CACHED),
    "synthesize out of the cache": ("/v1/tts/synthesize", {"text": SENTENCE, "format": "wav"}, CACHED),
    "speech by the engine":       ("/v1/audio/speech",    SPEECH,                             {}),
}  # fmt: skip


def measure() -> list[Figure]:
    core, others = two_cores()
    figures = []
    for what, (path, body, config) in REQUESTS.items():
        with on_cores(*others), running([core], config) as fast, running([core], config, program=WITHOUT) as plain:
            turns = asyncio.run(in_turns([fast, plain], path, body))
        figures += [Figure(f"{what}: {name}", value, unit) for name, value, unit in compared(turns)]
    return figures


Turn = tuple[float, float]
"""Requests a second, and processor seconds of one."""


async def in_turns(servers: Sequence[Running], path: str, body: dict[str, Any]) -> list[tuple[Turn, ...]]:
    async def turn(server: Running) -> Turn:
        before, _ = server.cpu_seconds()
        heard = await keep_asking(
            Endpoint(server.port, path), itertools.repeat(body), callers=CALLERS, seconds=TURN_SECONDS
        )
        after, _ = server.cpu_seconds()
        return heard.per_second, (after - before) / len(heard.spoken)

    for server in servers:  # warm, and cached
        await turn(server)
    return [tuple([await turn(server) for server in servers]) for _ in range(TURNS)]


def compared(turns: Sequence[tuple[Turn, ...]]) -> list[tuple[str, float, str]]:
    with_it, without = ([turn[number] for turn in turns] for number in (0, 1))
    rates = statistics.median(one[0] / other[0] for one, other in turns)
    costs = statistics.median(other[1] / one[1] for one, other in turns)
    return [
        ("with", statistics.median(rate for rate, _ in with_it), "/s"),
        ("without", statistics.median(rate for rate, _ in without), "/s"),
        ("requests per second, with to without", rates, "x"),
        ("processor time, with", statistics.median(cost for _, cost in with_it) * 1e6, "us"),
        ("processor time, without", statistics.median(cost for _, cost in without) * 1e6, "us"),
        ("processor time, without to with", costs, "x"),
    ]


def no_fast_path(app: ASGIApp, *_: object) -> ASGIApp:
    return app


if __name__ == "__main__":
    vars(asgi)["FastPath"] = no_fast_path
    sys.exit(main())
