"""Measures the memory of one and of two worker processes of engine Onnx at rest, a template included.

Each has spoken twelve sentences. The figure is the sum of proportional set sizes (PSS), in which a page that several
processes share counts once.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench.figures import Figure
from bench.voices import VOICES
from tests.support.proportional_memory import proportional_bytes
from tts_server.inference.client import Utterance
from tts_server.inference.pool import worker_pool
from tts_server.inference.pool.template import SUPPORTED
from tts_server.inference.pool.worker_pool import WorkerPool
from tts_server.inference.worker.main import IDLE_SECONDS

SENTENCES = (
    "The train to the airport leaves from the second platform every half hour.",
    "Thank you for calling.",
    "Heavy rain is expected tonight, with strong winds along the coast, and snow above eight hundred metres.",
)
ROUNDS = 4
MEBIBYTE = 1024 * 1024


async def measure() -> list[Figure]:
    figures = []
    for name, (options, voice) in VOICES.items():
        one = await megabytes(options, voice, processes=1)
        two = await megabytes(options, voice, processes=2)
        apart = await megabytes(options, voice, processes=2, shared=False)
        figures += [
            Figure(f"{name}: one process", one, "MiB"),
            Figure(f"{name}: two processes", two, "MiB", f"{two / one:.2f} times one"),
            Figure(f"{name}: two processes, each loading for itself", apart, "MiB", f"{apart / one:.2f} times one"),
        ]
    return figures


async def megabytes(options: Mapping[str, Any], voice: str, *, processes: int, shared: bool = True) -> float:
    """The memory of a pool's processes at rest."""
    with patch.object(worker_pool, "SUPPORTED", shared and SUPPORTED):
        pool = WorkerPool("onnx", options=options, processes=processes, first_audio_timeout_seconds=60)
    await pool.start()
    try:
        for sentence in SENTENCES * ROUNDS:
            await asyncio.gather(*(spoken(pool, sentence, voice) for _ in range(processes)))
        await asyncio.sleep(2 * IDLE_SECONDS)
        return sum(map(proportional_bytes, children_of(os.getpid()))) / MEBIBYTE
    finally:
        await pool.stop()


async def spoken(pool: WorkerPool, text: str, voice: str) -> None:
    async for _ in pool.speak(Utterance(text, voice)):
        pass


def children_of(pid: int) -> list[int]:
    """All processes below `pid`."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for parent in found:
        found += [child for child, of in parents.items() if of == parent]
    return found[1:]
