"""CA bundles for outgoing TLS."""

import ssl
import threading
from pathlib import Path


class TlsTrustStore:
    """The CA certificates of a file, or the public ones without a file.

    A `ca_file` that is not `needed` may be missing. The context is reused until the file changes: loading the public
    certificates takes 50 ms of CPU, too much for each connection of a small pod. Thread-safe.
    """

    def __init__(self, ca_file: Path | None, *, needed: bool = False) -> None:
        self.ca_file = ca_file
        self._needed = needed
        self._context: ssl.SSLContext | None = None
        self._loaded_state: object = None
        """State of the file from which the context was loaded."""
        self._lock = threading.Lock()

    def context(self) -> ssl.SSLContext:
        """The current context. Blocks. Raises OSError, and ssl.SSLError for a file without certificates."""
        with self._lock:  # concurrent callers wait for one load
            state = self._state()
            if self._context is None or state != self._loaded_state:
                self._context = ssl.create_default_context(cafile=self.ca_file if state else None)
                self._loaded_state = state
            return self._context

    def _state(self) -> tuple[int, ...] | None:
        """Inode, modification time and size of the file; None without a file."""
        if self.ca_file is None:
            return None
        try:
            stat = self.ca_file.stat()
        except FileNotFoundError:
            if self._needed:
                raise
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size
