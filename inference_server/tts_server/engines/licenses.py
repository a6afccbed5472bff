"""Licenses of the voices that this package's extras and its image contain. NOTICE has their sources."""

from collections.abc import Mapping

from tts_server.config.schema import LocalEngine, ModelConfig

ESPEAK = "GPL-3.0-or-later"
FAMILIES: Mapping[str, str] = {"Hibari": "Apache-2.0", "Kokoro": "Apache-2.0"}
"""Licenses of the built-in weights, by family of engine Onnx."""


def voice_license(model: ModelConfig) -> str | None:
    """Return the SPDX identifier of the model's voices; None for files of somebody else, and for other servers."""
    engine = model.engine
    if not isinstance(engine, LocalEngine):
        return None
    if engine.type == "Espeak":
        return ESPEAK
    if engine.onnx is None or {"model", "voices"} & engine.onnx.files.keys() or engine.onnx.precision_files:
        return None
    return FAMILIES.get(engine.onnx.family)
