"""Audio in a folder of this machine: it dies with the pod whose folder it is."""

import asyncio
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

import structlog

from tts_server.errors import StorageUnavailable
from tts_server.storage.protocol import ANY_BYTES, KEY, Audio, StorageLimits

log = structlog.get_logger(__name__)

UNFINISHED = ".part-"
ROOM = 0.9
"""Of the limit, what a full folder is brought down to: a sweep for every new file would cost more than the file."""
ABANDONED_SECONDS = 600
"""After that, a file that was never finished belongs to a server that is no more."""


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    modified: float
    size: int


class FilesystemStore:
    """`Store` in a folder. Files are written beside their place and renamed into it: readers see all or nothing."""

    def __init__(self, directory: Path, limits: StorageLimits, now: Callable[[], float] = time.time) -> None:
        self.limits = limits
        self._directory = directory
        self._now = now
        self._bytes = 0
        """Kept, as far as this process knows; every sweep counts again."""
        self._sweeping = asyncio.Lock()

    async def keep(self, key: str, content: bytes, media_type: str = ANY_BYTES) -> None:
        """See `Store.keep`. The route that hands a file out knows its media type."""
        del media_type
        if not KEY.fullmatch(key):
            raise ValueError("a key is made by new_key")
        if len(content) > self.limits.max_bytes:
            raise StorageUnavailable(f"The audio is larger than the whole store, {self.limits.max_bytes} bytes.")
        try:
            await asyncio.to_thread(self._write, self._directory / key, content)
        except OSError as error:
            log.exception("audio is not kept", reason=error.strerror)
            raise StorageUnavailable("Audio cannot be kept now; 'Accept: audio/*' returns it at once.") from error
        self._bytes += len(content)
        if self._bytes > self.limits.max_bytes:
            await self.sweep()

    async def fetch(self, key: str) -> Audio | None:
        """See `Store.fetch`."""
        if not KEY.fullmatch(key):
            return None
        try:
            content = await asyncio.to_thread(self._read, self._directory / key)
        except OSError:
            return None
        return None if content is None else Audio(content, key.rpartition(".")[2])

    async def remove(self, key: str) -> None:
        """See `Store.remove`."""
        if KEY.fullmatch(key):
            try:
                await asyncio.to_thread((self._directory / key).unlink, missing_ok=True)
            except OSError as error:
                raise StorageUnavailable("Audio cannot be removed now.") from error

    def link(self, key: str, seconds: int) -> None:
        """See `Store.link`."""
        del key, seconds

    async def sweep(self) -> None:
        """See `Store.sweep`."""
        async with self._sweeping:
            self._bytes = await asyncio.to_thread(self._sweep)

    def close(self) -> None:
        """See `Store.close`."""

    def _write(self, path: Path, content: bytes) -> None:
        unfinished = path.parent / f"{UNFINISHED}{secrets.token_hex(8)}"
        try:
            with os.fdopen(_created(unfinished), "wb") as file:
                file.write(content)
            now = self._now()
            os.utime(unfinished, (now, now))
            unfinished.rename(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise

    def _read(self, path: Path) -> bytes | None:
        # Not followed: nobody else writes here, and a link would lead out.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            if os.fstat(file.fileno()).st_mtime <= self._now() - self.limits.retention_seconds:
                return None  # past its time, whenever the sweep comes
            return file.read()

    def _sweep(self) -> int:
        now = self._now()
        files = sorted(self._files(), key=lambda file: file.modified)  # the oldest first
        kept = sum(file.size for file in files)
        enough = self.limits.max_bytes if kept <= self.limits.max_bytes else int(self.limits.max_bytes * ROOM)
        for file in files:
            unfinished = file.path.name.startswith(UNFINISHED)
            expired = now - file.modified >= (ABANDONED_SECONDS if unfinished else self.limits.retention_seconds)
            if expired or (kept > enough and not unfinished):
                with suppress(OSError):
                    file.path.unlink()
                    kept -= file.size
        return kept

    def _files(self) -> list[_File]:
        """What a server wrote here: the folder may be one that holds more."""
        found = []
        for path in self._directory.glob("*/*"):
            key = path.relative_to(self._directory).as_posix()
            if not (KEY.fullmatch(key) or path.name.startswith(UNFINISHED)):
                continue
            with suppress(OSError):
                state = path.lstat()
                if S_ISREG(state.st_mode):
                    found.append(_File(path, state.st_mtime, state.st_size))
        return found


def _created(path: Path) -> int:
    """A new file; its folder is made for the first one."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, flags, 0o600)
