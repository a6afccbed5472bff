"""Compares common hand-made servers with ours on the same engine: Flask behind gunicorn with a worker for each core,
and FastAPI with an executor (both in bench/handmade). Paragraphs of 100 words as WAV; server, engine and callers share
all cores.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bench.beside import SECONDS
from bench.figures import Figure
from bench.load import Endpoint, keep_asking, speech
from bench.servers import free_ports, running, wait_ready
from bench.streams import PARAGRAPH

BIN = Path(sys.executable).parent
CALLERS = (1, 8, 64)


def measure() -> list[Figure]:
    return [figure for name, server in servers().items() for figure in measured(name, server)]


def servers() -> Mapping[str, Callable[[], AbstractContextManager[int]]]:
    """Servers by name; each function starts one and yields its port."""
    cores = len(os.sched_getaffinity(0))
    return {
        "ours": ours,
        "Flask + gunicorn": lambda: by_hand(
            *("gunicorn", f"--workers={cores}", "--bind=127.0.0.1:{port}", "--log-level=error"),
            "bench.handmade.flask_app:app",
        ),
        "FastAPI + executor": lambda: by_hand(
            "uvicorn", "--port={port}", "--log-level=error", "bench.handmade.fastapi_app:app"
        ),
    }


def measured(name: str, server: Callable[[], AbstractContextManager[int]]) -> Iterator[Figure]:
    with server() as port:
        for callers in CALLERS:
            heard = asyncio.run(keep_asking(Endpoint(port), speech([PARAGRAPH]), callers=callers, seconds=SECONDS))
            load = f"{name}, {callers} callers" if callers > 1 else f"{name}, 1 caller"
            yield Figure(f"{load}: paragraphs", heard.per_second, "/s", f"{heard.failed} failed")
            yield Figure(f"{load}: first audio, P50", heard.first_percentile(50) * 1e3, "ms")
            yield Figure(f"{load}: first audio, P95", heard.first_percentile(95) * 1e3, "ms")


@contextmanager
def ours() -> Iterator[int]:
    cores = len(os.sched_getaffinity(0))
    models = [{"name": "espeak", "engine": {"type": "Espeak", "processes": cores}}]
    with running(os.sched_getaffinity(0), {"models": models}) as server:
        yield server.port


@contextmanager
def by_hand(program: str, *arguments: str) -> Iterator[int]:
    (port,) = free_ports(1)
    command = [str(BIN / program), *(argument.format(port=port) for argument in arguments)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_ready(process, port)
            yield port
        finally:
            process.terminate()
            process.wait()
