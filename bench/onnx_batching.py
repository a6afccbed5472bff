"""Measures the graphs of engine Onnx at batches of 1, 2, 4 and 8 equal texts, one thread: CPU time per text. A batch
pays where a text costs less in it than alone, by more than the wait for the batch (50 ms) costs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from bench.figures import Figure
from bench.voices import GRAPHS
from tts_server.engines.onnx.session import GraphSession
from tts_server.errors import EngineError

SIZES = (1, 2, 4, 8)
ROUNDS = 5
PHONEMES = 60


def measure() -> list[Figure]:
    return [figure for name in GRAPHS for figure in of_graph(name)]


def of_graph(name: str) -> Iterator[Figure]:
    path, inputs_of = GRAPHS[name]
    session = GraphSession(path, tuple(inputs_of(1, PHONEMES)))
    alone = 0.0
    for size in SIZES:
        inputs = inputs_of(size, PHONEMES)
        try:
            milliseconds = cpu_milliseconds(session, inputs) / size
        except EngineError:
            yield Figure(f"{name}: a batch of {size}", 0, "ms", "not possible: the graph's batch axis is fixed at 1")
            return
        alone = alone or milliseconds
        yield Figure(f"{name}: a text in a batch of {size}", milliseconds, "ms", f"{milliseconds / alone:.2f} of alone")


def cpu_milliseconds(session: GraphSession, inputs: dict[str, np.ndarray[Any, Any]]) -> float:
    session.run(inputs)
    times = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        session.run(inputs)
        times.append(time.process_time() - begun)
    return min(times) * 1000
