"""The neural voices that measurements compare, as options of engine Onnx: those that this machine has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VOICES: Mapping[str, tuple[Mapping[str, Any], str]] = {"heart": ({"family": "Hibari"}, "heart")}
"""Options and one voice, by the name of the model."""
