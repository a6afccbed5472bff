"""Measures `tts-server` with its built-in voice from the start of its process to the first 200 of `/readyz`: warm, and
with an empty page cache, for which it must run as root. Beside it, the parts of a worker's start in CPU time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from statistics import median

from bench.figures import Figure
from bench.servers import is_measured, running
from tts_server.config.defaults import embedded_config

ROUNDS = 3
DROP_CACHES = Path("/proc/sys/vm/drop_caches")
TARGET = "target 5 s"
PARTS = """
import time
def cpu(): return time.process_time()
import tts_server.inference.worker.main
begun = cpu(); print(begun)
from tts_server.engines.onnx.engine import Onnx
import onnxruntime
print(cpu() - begun); begun = cpu()
engine = Onnx("Hibari")
print(cpu() - begun); begun = cpu()
list(engine.speak("1", "heart", None, 1.0))
print(cpu() - begun)
"""
NAMES = (
    "Python and the worker's modules, numpy among them",
    "ONNX Runtime",
    "the graph",
    "first words, with the dictionaries of the front end",
)


def measure() -> list[Figure]:
    warm = [start_seconds() for _ in range(ROUNDS + 1)][1:]
    busy = f"{os.getloadavg()[0]:.0f} processes ran on the machine"
    figures = [
        Figure("built-in voice, from start to ready, warm", median(wall for wall, _ in warm), "s", f"{TARGET}; {busy}"),
        Figure("CPU time of the server and its worker until then", median(cpu for _, cpu in warm), "s"),
    ]
    with suppress(PermissionError):
        cold = [cold_seconds() for _ in range(ROUNDS)]
        figures.append(Figure("the same with an empty page cache", median(wall for wall, _ in cold), "s", TARGET))
    parts = zip(*(cpu_seconds() for _ in range(ROUNDS)), strict=True)
    return figures + [
        Figure(f"of a worker's start: {name}", median(part) * 1000, "ms of CPU")
        for name, part in zip(NAMES, parts, strict=True)
    ]


def cold_seconds() -> tuple[float, float]:
    os.sync()
    DROP_CACHES.write_text("3", encoding="ascii")
    return start_seconds()


def start_seconds() -> tuple[float, float]:
    """Wall time and CPU time until the server is ready."""
    config = embedded_config(lambda package: package != "espeakng_loader" and is_measured(package))
    begun = time.perf_counter()
    with running(
        os.sched_getaffinity(0), config.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    ) as server:
        return time.perf_counter() - begun, sum(server.cpu_seconds())


def cpu_seconds() -> list[float]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = (sys.executable, "-P", "-c", PARTS)
    printed = subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout
    return [float(line) for line in printed.split()]
