"""Measures requests that are answered while an engine fails: a thousand for each way to fail, of which a quarter fail.

The application in this process, engines in processes of their own, four callers; the fallback is an engine that works.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

from bench.figures import Figure
from tests.support.failing_server import MODES, misbehaving

REQUESTS = int(os.environ.get("REQUESTS", "1000"))


def measure() -> list[Figure]:
    # The engines in tests/support are imported from here.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")])
    )
    return [figure for mode in MODES for figure in asyncio.run(_measure(mode))]


async def _measure(mode: str) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        async with misbehaving(Path(folder)) as server:
            started = time.perf_counter()
            heard = await server.load(mode, requests=REQUESTS)
            seconds = time.perf_counter() - started
    return [
        Figure(f"{mode}: answered", heard.statuses[200], f"of {REQUESTS}", f"{heard.degraded} by the fallback"),
        Figure(f"{mode}: all of them", seconds, "s"),
    ]
