"""Errors on their way from a worker to its parent: as JSON, without anything that a caller may have written."""

import traceback
from collections.abc import Mapping
from typing import Any

from tts_server.errors import EngineError, EngineUnavailable, InvalidAudio

_KINDS: Mapping[str, type[EngineError]] = {"unavailable": EngineUnavailable, "invalid_audio": InvalidAudio}
"""Every other error is an "error"."""


def said_of(error: Exception) -> dict[str, object]:
    """What went wrong. Only messages that an engine wrote for it travel: others may carry a caller's text."""
    if not isinstance(error, EngineError):
        traceback.print_exception(error)
        return {"kind": "error", "message": f"The engine raised {type(error).__name__}."}
    kind = next((name for name, kind in _KINDS.items() if isinstance(error, kind)), "error")
    return {"kind": kind, "message": error.message}


def error_of(said: Mapping[str, Any]) -> EngineError:
    """The inverse, as far as it goes."""
    return _KINDS.get(said["kind"], EngineError)(str(said["message"]))
