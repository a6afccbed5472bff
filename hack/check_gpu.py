"""Checks the neural voice on a GPU: `python -m hack.check_gpu GRAPH`, with a graph by `python -m hack.dequantize`.

It needs a GPU of NVIDIA and the package onnxruntime-gpu instead of onnxruntime. It speaks with the graph on the CPU and
on the GPU, compares both, and prints a row for the table of docs/precisions.md. Where torch is installed, it also
multiplies two matrices in half precision, as the engines that need torch do. Exit code 0 if all of it works.
"""

import argparse
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tts_server.engines.onnx.engine import Onnx
from tts_server.errors import EngineUnavailable

SENTENCE = "The train to the airport leaves from the second platform every half hour."
ROUNDS = 20
LOUDNESS_AGREES = 0.1
"""How much the mean level may differ: half precision rounds, and phases of the noise move."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hack.check_gpu", description=__doc__)
    parser.add_argument("graph", type=Path, help="A graph of family Hibari, in fp16 or fp32.")
    graph: Path = parser.parse_args(arguments).graph
    try:
        on_cpu, _ = spoken(graph, "CPU")
        on_gpu, seconds = spoken(graph, "CUDA")
    except EngineUnavailable as error:
        print(f"failed: {error.message}", file=sys.stderr)
        return 1
    level = float(np.abs(on_gpu).mean() / np.abs(on_cpu).mean())
    agrees = on_gpu.size == on_cpu.size and abs(level - 1) < LOUDNESS_AGREES
    print(f"| heart | {graph.stem} on CUDA | {1 / seconds:.3g} requests/s | {seconds * 24_000 / on_gpu.size:.4f} |")
    print(
        f"samples {on_gpu.size} and {on_cpu.size}, level {level:.3f} of the CPU's: {'agrees' if agrees else 'differs'}"
    )
    return 0 if agrees and torch_multiplies() else 1


def spoken(graph: Path, device: str) -> tuple[NDArray[np.float32], float]:
    """Speak on a device. Returns the samples, and the median seconds of a request."""
    engine = Onnx("Hibari", {"model": str(graph)}, session_options={"device": device})
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        samples = np.concatenate(list(engine.speak(SENTENCE, "heart", None, 1.0)))
        times.append(time.perf_counter() - begun)
    return samples, float(np.median(times))


def torch_multiplies() -> bool:
    """Whether torch computes in half precision on the GPU; true without torch."""
    if find_spec("torch") is None:
        print("torch is not installed: not checked")
        return True
    import torch  # type: ignore[import-not-found,unused-ignore]

    if not torch.cuda.is_available():
        print("torch finds no GPU", file=sys.stderr)
        return False
    one = torch.rand(512, 512, device="cuda", dtype=torch.float16)
    difference = (one @ one).float().cpu() - one.float().cpu() @ one.float().cpu()
    print(
        f"torch {torch.__version__} on {torch.cuda.get_device_name()}: largest difference {difference.abs().max():.3f}"
    )
    return bool(difference.abs().max() < 1)


if __name__ == "__main__":
    sys.exit(main())
