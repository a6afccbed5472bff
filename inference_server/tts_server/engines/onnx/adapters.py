"""Adapters: further voices by a small change of a family, a style vector or a LoRA folded into the graph's weights.

The file is an archive by `numpy.savez`. A LoRA (E. J. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models",
2021) has, for each weight W of the graph that it changes, the arrays `W.A` (rank, columns) and `W.B` (rows, rank): the
weight becomes W + B A. A quantized weight is named without its suffix `_quantized`, and is quantized again. A style has
one array `style`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from tts_server.engines.onnx.initializers import BrokenGraphError, Weights, read_initializers
from tts_server.errors import EngineUnavailable

STYLE = "style"
_QUANTIZED, _SCALE, _ZERO_POINT = "_quantized", "_scale", "_zero_point"
_LARGEST_INT8 = 127


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter of the configuration, with what its file holds."""

    name: str
    voices: Mapping[str, str]
    """New voice names, each with the voice of the family that it adapts."""
    arrays: Mapping[str, Weights]

    @property
    def style(self) -> Weights | None:
        """The style vector; None for a LoRA."""
        return self.arrays.get(STYLE)


def load_adapter(content: Mapping[str, Any]) -> Adapter:
    """Read an adapter as `server.json` has it. Raises `EngineUnavailable`."""
    name, path = content["name"], Path(content["file"])
    if not path.is_file():
        raise EngineUnavailable(f"There is no file {path} of adapter {name}.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, AttributeError, BadZipFile) as error:
        raise EngineUnavailable(f"{path} of adapter {name} is not an archive of arrays by numpy.savez.") from error
    if STYLE not in arrays and not _pairs(arrays):
        raise EngineUnavailable(f"{path} of adapter {name} has no array {STYLE}, and no pairs WEIGHT.A and WEIGHT.B.")
    return Adapter(name, dict(content["voices"]), arrays)


def folded_weights(adapter: Adapter, graph: Path) -> dict[str, Weights]:
    """Return the weights of `graph` that the LoRA changes, by their names in the graph. Raises `EngineUnavailable`."""
    pairs = _pairs(adapter.arrays)
    wanted = {name + suffix for name in pairs for suffix in ("", _QUANTIZED, _SCALE, _ZERO_POINT)}
    try:
        known = read_initializers(graph, wanted)
    except (BrokenGraphError, OSError) as error:
        raise EngineUnavailable(f"{graph} is not an ONNX graph, or only a part of one.") from error
    folded: dict[str, Weights] = {}
    for name, (down, up) in pairs.items():
        weight = known.get(name, known.get(name + _QUANTIZED))
        if weight is None:
            raise EngineUnavailable(f"Adapter {adapter.name} changes the weight {name}, which {graph} does not have.")
        rows = weight.shape[0]
        if up.shape != (rows, down.shape[0]) or down.shape[1] * rows != weight.size:
            raise EngineUnavailable(
                f"Adapter {adapter.name}: {name} is {_shape(weight)}, the pair is {_shape(up)} and {_shape(down)}."
            )
        change = (up.astype(np.float32) @ down.astype(np.float32)).reshape(weight.shape)
        if name in known:
            folded[name] = (weight + change).astype(weight.dtype)
        else:
            folded |= _requantized(name, known, change)
    return folded


def _requantized(name: str, known: Mapping[str, Weights], change: Weights) -> dict[str, Weights]:
    """Return int8 weights with one scale per column, or one in all, as the graph has them."""
    old, scale = known[name + _QUANTIZED].astype(np.float32), known[name + _SCALE]
    zero_point = known[name + _ZERO_POINT]
    weights = (old - zero_point) * scale + change
    axis = 0 if scale.size > 1 else None
    new_scale = np.maximum(np.abs(weights).max(axis=axis) / _LARGEST_INT8, np.finfo(np.float32).tiny)
    signed = np.clip(np.round(weights / new_scale), -_LARGEST_INT8, _LARGEST_INT8)
    middle = 0 if zero_point.dtype == np.int8 else 128
    return {
        name + _QUANTIZED: (signed + middle).astype(zero_point.dtype),
        name + _SCALE: np.array(new_scale, scale.dtype).reshape(scale.shape),
        name + _ZERO_POINT: np.full_like(zero_point, middle),
    }


def _pairs(arrays: Mapping[str, Weights]) -> dict[str, tuple[Weights, Weights]]:
    names = [key.removesuffix(".A") for key in arrays if key.endswith(".A")]
    return {
        name: (arrays[f"{name}.A"], arrays[f"{name}.B"])
        for name in names
        if f"{name}.B" in arrays and arrays[f"{name}.A"].ndim == arrays[f"{name}.B"].ndim == 2
    }


def _shape(weights: Weights) -> str:
    return " x ".join(map(str, weights.shape))
