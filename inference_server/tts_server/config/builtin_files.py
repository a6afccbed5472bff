"""Folders of files that a command of this package installs: where it writes them, and where the server finds them."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

KOKORO = "kokoro-v1.0"
"""Folder of Kokoro's graph, vocabulary and voices. It exists only when it is complete."""
KOKORO_MODEL, KOKORO_VOCABULARY, KOKORO_VOICES = "kokoro.int8.onnx", "vocabulary.json", "voices"
"""Names in that folder: two files, and a folder with a file for each voice."""


def user_cache() -> Path:
    """Return this program's folder in the cache folder of the XDG Base Directory Specification."""
    folder = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(folder) if Path(folder).is_absolute() else Path.home() / ".cache") / "ttsfleet"


def kokoro_folders() -> Sequence[Path]:
    """Folders in which Kokoro's files may be: that of an image, which all users share, then the user's own."""
    return (Path(sys.prefix) / "share" / "ttsfleet" / KOKORO, user_cache() / KOKORO)


def kokoro_folder() -> Path | None:
    """Return the folder with Kokoro's files; None if `tts-install-kokoro` has not installed them."""
    return next((folder for folder in kokoro_folders() if folder.is_dir()), None)
