"""Measures identical requests, which the cache answers. The server has one core, its callers have the others; once
as it is on a laptop, and once with access tokens and limits in a real Redis.
"""

from __future__ import annotations

import asyncio

from bench.beside import SECONDS, on_cores, two_cores
from bench.figures import Figure
from bench.full_path import whole_path
from bench.load import Endpoint, Heard, keep_asking, speech
from bench.servers import SENTENCE, running

CALLERS = 8


def measure() -> list[Figure]:
    server_core, other_cores = two_cores()
    figures = []
    for response_format in ("mp3", "wav"):
        with on_cores(*other_cores):
            with running([server_core], {"cache": {"enabled": True}}) as server:
                laptop = asyncio.run(load(Endpoint(server.port), response_format))
            with whole_path([server_core]) as (_, endpoint):
                whole = asyncio.run(load(endpoint, response_format))
        figures += [
            Figure(f"{response_format}: hits", laptop.per_second, "/s", f"{laptop.failed} failed"),
            Figure(f"{response_format}: hits, tokens and limits", whole.per_second, "/s", f"{whole.failed} failed"),
        ]
    return figures


async def load(endpoint: Endpoint, response_format: str) -> Heard:
    bodies = speech([SENTENCE], response_format)
    await keep_asking(endpoint, bodies, callers=1, seconds=0.5)
    return await keep_asking(endpoint, bodies, callers=CALLERS, seconds=SECONDS)
