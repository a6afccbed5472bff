"""Access keys of an object store: two files of a mounted Secret, read again when they change."""

import threading
from pathlib import Path

from minio.credentials.credentials import Credentials
from minio.credentials.providers import Provider


class CredentialFiles(Provider):
    """Provides the client's credentials; called before every request, in any thread."""

    def __init__(self, access_key_file: Path, secret_key_file: Path) -> None:
        self._files = (access_key_file, secret_key_file)
        self._seen: object = None
        self._credentials: Credentials | None = None
        self._reading = threading.Lock()

    def retrieve(self) -> Credentials:
        """The credentials in the files. Raises OSError, and ValueError for an empty file."""
        seen = [(state.st_mtime_ns, state.st_ino) for state in (file.stat() for file in self._files)]
        with self._reading:
            if self._credentials is None or seen != self._seen:
                access_key, secret_key = (file.read_text("utf-8").strip() for file in self._files)
                self._credentials = Credentials(access_key, secret_key)
                self._seen = seen
            return self._credentials
