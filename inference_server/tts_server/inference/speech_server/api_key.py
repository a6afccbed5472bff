"""The key of another speech server, in a file that a mounted Secret may replace at any time."""

from pathlib import Path

from tts_server.inference.speech_server.faults import ServerFault

LARGEST_KEY_BYTES = 8192


class APIKey:
    """Reads the file again when it has changed. The key appears in no error and no log."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._state: tuple[int, int, int] | None = None
        self._key = ""

    def read(self) -> str:
        """The key; empty without a file. Raises `ServerFault` if it is missing, or cannot be a header."""
        if self._file is None:
            return ""
        try:
            stat = self._file.stat()
            state = stat.st_ino, stat.st_mtime_ns, stat.st_size
            if state != self._state:
                with self._file.open("rb") as opened:
                    key = opened.read(LARGEST_KEY_BYTES).strip()
                self._key, self._state = key.decode("ascii"), state
        except (OSError, UnicodeDecodeError):
            raise ServerFault("key_missing") from None
        if not self._key or not self._key.isprintable() or " " in self._key:
            raise ServerFault("key_missing")
        return self._key
