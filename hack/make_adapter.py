"""Makes an adapter of the built-in voice: `python -m hack.make_adapter calm.npz`.

It is a low-rank change of one projection (LoRA), computed instead of trained: the strongest directions of the
projection that leads to durations, pitch and energy are damped, so that the voice speaks with less emphasis.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tts_server.engines.onnx.initializers import read_initializers

PROJECTION = "pn.pro_in.weight"
RANK = 8
DAMPING = 0.3
"""Part of those directions that is taken away."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m hack.make_adapter", description=__doc__)
    parser.add_argument("file", type=Path, help="The archive to write.")
    import hibari

    write(parser.parse_args().file, calmer(Path(hibari.__file__).parent / "assets" / "hibari.onnx"))
    return 0


def calmer(graph: Path) -> dict[str, NDArray[np.float32]]:
    """The pair of matrices of the adapter."""
    weight = read_initializers(graph, {PROJECTION})[PROJECTION]
    left, strengths, right = np.linalg.svd(weight.reshape(weight.shape[0], -1).astype(np.float64), full_matrices=False)
    up = -DAMPING * left[:, :RANK] * strengths[:RANK]
    return {f"{PROJECTION}.B": up.astype(np.float32), f"{PROJECTION}.A": right[:RANK].astype(np.float32)}


def write(file: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write the archive."""
    np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stubs take a mapping for flags


if __name__ == "__main__":
    sys.exit(main())
