"""Carries errors from a worker to its parent as JSON, without any text of a request."""

import traceback
from collections.abc import Mapping
from typing import Any

from tts_server.errors import EngineError, EngineUnavailable, InvalidAudio, TextUnreadable

_KINDS: Mapping[str, type[EngineError]] = {
    "unavailable": EngineUnavailable,
    "invalid_audio": InvalidAudio,
    "text_unreadable": TextUnreadable,
}
"""Errors that keep their class; all others are "error"."""


def error_content(error: Exception) -> dict[str, object]:
    """Return the JSON of an error. Only messages of `EngineError` are included: others may quote a request's text."""
    if not isinstance(error, EngineError):
        traceback.print_exception(error)
        return {"kind": "error", "message": f"The engine raised {type(error).__name__}."}
    kind = next((name for name, kind in _KINDS.items() if isinstance(error, kind)), "error")
    return {"kind": kind, "message": error.message}


def error_of(content: Mapping[str, Any]) -> EngineError:
    """Return the error that `error_content` described."""
    return _KINDS.get(content["kind"], EngineError)(str(content["message"]))
