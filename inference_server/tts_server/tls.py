"""What vouches for a server over TLS."""

import ssl
import threading
from pathlib import Path


class TlsTrustStore:
    """Certificates that vouch for a server: those of a file, else the usual public ones.

    `ca_file`: unless it is `needed`, it may also not be there, now or ever.
    Kept until the file changes: the public ones are 50 ms of a processor, which a small pod has not got for each
    connection. Threads may share one.
    """

    def __init__(self, ca_file: Path | None, *, needed: bool = False) -> None:
        self.ca_file = ca_file
        self._needed = needed
        self._context: ssl.SSLContext | None = None
        self._of: object = None
        """The file that it was made of, as far as its state tells."""
        self._lock = threading.Lock()

    def context(self) -> ssl.SSLContext:
        """Raises OSError and ssl.SSLError for a file that holds none. Blocks."""
        with self._lock:  # those who come meanwhile wait for what the first one makes
            state = self._state()
            if self._context is None or state != self._of:
                self._context = ssl.create_default_context(cafile=self.ca_file if state else None)
                self._of = state
            return self._context

    def _state(self) -> tuple[int, ...] | None:
        """Of the file; None without one."""
        if self.ca_file is None:
            return None
        try:
            found = self.ca_file.stat()
        except FileNotFoundError:
            if self._needed:
                raise
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
