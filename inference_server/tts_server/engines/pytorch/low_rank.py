"""LoRA adapters: low-rank changes of single weights, folded into the model when a voice needs them.

Neither CosyVoice nor IndexTTS loads adapters. What is read here is the folder that PEFT writes
(`adapter_config.json` and `adapter_model.safetensors`): W' = W + scale * B A, E. Hu et al., "LoRA: Low-Rank Adaptation
of Large Language Models", 2021; the scale is alpha / r, or alpha / sqrt(r) where `use_rslora` is set. Folding costs no
time while the model speaks; a voice with another adapter pays for the change of weights once.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tts_server.errors import EngineUnavailable

Matrix = NDArray[np.float32]

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
PEFT_PREFIX = "base_model.model."
UNSUPPORTED = ("use_dora", "modules_to_save", "rank_pattern", "alpha_pattern", "trainable_token_indices")
"""Settings of PEFT that change more than single products; an adapter with one is refused."""
MAX_HEADER_BYTES = 100_000_000
"""Limit of the format itself."""


class Weights(Protocol):
    """The weights of a model that adapters change."""

    def names(self) -> Iterable[str]:
        """Names of all weights, such as `model.layers.0.self_attn.q_proj.weight`."""

    def read(self, name: str) -> Matrix:
        """Return a copy of one weight."""

    def write(self, name: str, values: Matrix) -> None:
        """Replace one weight."""


@dataclass(frozen=True)
class Change:
    """The change of one weight: `scale * b @ a`, transposed if the weight is stored as (inputs, outputs)."""

    a: Matrix
    b: Matrix
    scale: float
    transposed: bool

    def values(self) -> Matrix:
        """Return the change, in the shape of the weight."""
        product: Matrix = np.float32(self.scale) * (self.b @ self.a)
        return product.T if self.transposed else product


class Adapters:
    """The adapters of one model, of which at most one is folded in at a time."""

    def __init__(self, weights: Weights, adapters: Mapping[str, Mapping[str, Change]]) -> None:
        """Take the changes of each adapter by the module's path. Raises `EngineUnavailable` if one does not fit."""
        self._weights = weights
        self._changes = {name: placed(name, changes, weights) for name, changes in adapters.items()}
        touched = {weight for changes in self._changes.values() for weight in changes}
        self._originals = {weight: weights.read(weight) for weight in sorted(touched)}
        """Copies: taking a change away again would leave its rounding behind."""
        self._selected: str | None = None

    def select(self, name: str | None) -> None:
        """Fold in the adapter of this name; None for none."""
        if name == self._selected:
            return
        before = self._changes[self._selected] if self._selected is not None else {}
        after = self._changes[name] if name is not None else {}
        for weight in before.keys() - after.keys():
            self._weights.write(weight, self._originals[weight])
        for weight, change in after.items():
            self._weights.write(weight, self._originals[weight] + change.values())
        self._selected = name


def read_adapters(folders: Mapping[str, str]) -> dict[str, dict[str, Change]]:
    """Return the changes of each adapter. Raises `EngineUnavailable`."""
    return {name: read_adapter(Path(folder)) for name, folder in folders.items()}


def read_adapter(folder: Path) -> dict[str, Change]:
    """Return the changes of an adapter by the path of the module. Raises `EngineUnavailable`."""
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise EngineUnavailable(f"There is no file {folder / name}: an adapter is a folder as PEFT writes it.")
    try:
        config = json.loads((folder / CONFIG_FILE).read_text("utf-8"))
        kind, rank, alpha = config["peft_type"], int(config["r"]), float(config["lora_alpha"])
    except (ValueError, KeyError, TypeError) as error:
        raise EngineUnavailable(f"{folder / CONFIG_FILE} is not a configuration of PEFT for LoRA.") from error
    if kind != "LORA":
        raise EngineUnavailable(f"The adapter in {folder} is of type {kind}; only LORA can be folded in.")
    if used := [name for name in UNSUPPORTED if config.get(name)]:
        raise EngineUnavailable(f"The adapter in {folder} uses {', '.join(used)}, which cannot be folded in.")
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    tensors = read_safetensors(folder / WEIGHTS_FILE)
    changes = {}
    for name in sorted(tensors):
        module, _, part = name.partition(".lora_")
        if part == "A.weight":
            pair = f"{module}.lora_B.weight"
            if pair not in tensors:
                raise EngineUnavailable(f"{folder / WEIGHTS_FILE} has {name} without {pair}.")
            changes[module.removeprefix(PEFT_PREFIX)] = Change(
                tensors[name], tensors[pair], scale, bool(config.get("fan_in_fan_out"))
            )
        elif part != "B.weight":
            raise EngineUnavailable(f"{folder / WEIGHTS_FILE} has {name}, which is not a low-rank change of a weight.")
    if not changes:
        raise EngineUnavailable(f"{folder / WEIGHTS_FILE} holds no change.")
    return changes


def read_safetensors(file: Path) -> dict[str, Matrix]:
    """Read all tensors as float32 (github.com/huggingface/safetensors#format). Raises `EngineUnavailable`."""
    try:
        with file.open("rb") as source:
            size = int.from_bytes(source.read(8), "little")
            header = json.loads(source.read(min(size, MAX_HEADER_BYTES)))
            data = source.read()
        return {name: _matrix(entry, data) for name, entry in header.items() if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineUnavailable(f"{file} is not a safetensors file, or only a part of one.") from error


def _matrix(entry: Mapping[str, Any], data: bytes) -> Matrix:
    start, end = entry["data_offsets"]
    part = data[start:end]
    match entry["dtype"]:
        case "F32":
            values = np.frombuffer(part, "<f4")
        case "F16":
            values = np.frombuffer(part, "<f2").astype(np.float32)
        case "BF16":
            values = (np.frombuffer(part, "<u2").astype(np.uint32) << 16).view(np.float32)
        case other:
            raise ValueError(f"unknown type {other}")
    return values.reshape(entry["shape"]).astype(np.float32)


def placed(adapter: str, changes: Mapping[str, Change], weights: Weights) -> dict[str, Change]:
    """Return the changes by the name of the model's weight: the one that ends with the module's path."""
    names = tuple(weights.names())
    placed = {}
    for module, change in changes.items():
        wanted = f"{module}.weight"
        found = [name for name in names if name == wanted or name.endswith(f".{wanted}")]
        if len(found) != 1:
            raise EngineUnavailable(
                f"Adapter {adapter} changes {wanted}, of which the model has {len(found)}: it was trained for another."
            )
        shape = weights.read(found[0]).shape
        if change.values().shape != shape:
            raise EngineUnavailable(
                f"Adapter {adapter} changes {wanted} of shape {change.values().shape}, the model's has {shape}."
            )
        placed[found[0]] = change
    return placed
