"""Chooses the Python interpreter of an engine's processes."""

import sys
from collections.abc import Mapping

from tts_server.config.schema import LocalEngine

VARIABLE = "TTSFLEET_ENGINE_PYTHON"
"""Set in the images of CosyVoice and IndexTTS, whose packages and the server's exclude each other."""
ENGINES = frozenset({"CosyVoice", "IndexTTS"})


def engine_python(engine: LocalEngine, environment: Mapping[str, str]) -> str:
    """Return its path: the configured one, else that of the image for such an engine, else the server's own."""
    if engine.python is not None:
        return str(engine.python)
    named = environment.get(VARIABLE) if engine.type in ENGINES else None
    return named or sys.executable
