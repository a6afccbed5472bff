"""Audio in a local folder; if that is a volume of the pod, it is lost with the pod."""

import asyncio
import os
import secrets
import time
from collections import defaultdict, deque
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
"""A sweep of a full folder frees space down to this part of the limit, so that not every new file causes a sweep."""
ABANDONED_SECONDS = 600
"""Age after which an unfinished file is deleted: the server that wrote it is gone."""


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    modified: float
    size: int


class FilesystemStore:
    """`Store` in a folder. A file is written under another name and renamed, so readers never see a part of it."""

    def __init__(self, directory: Path, limits: StorageLimits, now: Callable[[], float] = time.time) -> None:
        self.limits = limits
        self._directory = directory
        self._now = now
        self._bytes = 0
        """Bytes in the folder as far as this process knows; each sweep corrects it."""
        self._sweeping = asyncio.Lock()

    async def keep(self, key: str, content: bytes, media_type: str = ANY_BYTES) -> None:
        del media_type
        if not KEY.fullmatch(key):
            raise ValueError("not a key of new_key")
        if len(content) > self.limits.max_bytes:
            raise StorageUnavailable(f"The audio is larger than the whole store, {self.limits.max_bytes} bytes.")
        try:
            await asyncio.to_thread(self._write, self._directory / key, content)
        except OSError as error:
            log.exception("audio not stored", reason=error.strerror)
            raise StorageUnavailable("Audio cannot be stored; 'Accept: audio/*' returns it in the response.") from error
        self._bytes += len(content)
        if self._bytes > self.limits.max_bytes:
            await self.sweep()

    async def fetch(self, key: str) -> Audio | None:
        if not KEY.fullmatch(key):
            return None
        try:
            content = await asyncio.to_thread(self._read, self._directory / key)
        except OSError:
            return None
        return None if content is None else Audio(content, key.rpartition(".")[2])

    async def remove(self, key: str) -> None:
        if KEY.fullmatch(key):
            try:
                await asyncio.to_thread((self._directory / key).unlink, missing_ok=True)
            except OSError as error:
                raise StorageUnavailable("The audio cannot be deleted.") from error

    def link(self, key: str, seconds: int) -> None:
        del key, seconds

    async def sweep(self) -> None:
        async with self._sweeping:
            self._bytes = await asyncio.to_thread(self._sweep)

    def close(self) -> None:
        pass  # no file is kept open

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
        # No links are followed: this server makes none, so a link is from somebody else.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            if os.fstat(file.fileno()).st_mtime <= self._now() - self.limits.retention_seconds:
                return None  # expired, but not swept yet
            return file.read()

    def _sweep(self) -> int:
        now, limits = self._now(), self.limits
        kept: defaultdict[Path, deque[_File]] = defaultdict(deque)  # by the tenant's folder
        sizes: defaultdict[Path, int] = defaultdict(int)
        total = 0
        for file in sorted(self._files(), key=lambda file: file.modified):  # the oldest first
            unfinished = file.path.name.startswith(UNFINISHED)
            expired = now - file.modified >= (ABANDONED_SECONDS if unfinished else limits.retention_seconds)
            if expired and _deleted(file):
                continue
            total += file.size
            if not (unfinished or expired):
                kept[file.path.parent].append(file)
                sizes[file.path.parent] += file.size
        enough = limits.max_bytes if total <= limits.max_bytes else int(limits.max_bytes * ROOM)
        while total > enough and sizes:
            largest = max(sizes, key=sizes.__getitem__)  # a tenant that stores little loses nothing to the others
            file = kept[largest].popleft()
            sizes[largest] -= file.size
            if not kept[largest]:
                del sizes[largest]
            if _deleted(file):
                total -= file.size
        return total

    def _files(self) -> list[_File]:
        """The files that a server has written; the folder may contain others."""
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


def _deleted(file: _File) -> bool:
    """Delete a file; return whether it is gone."""
    try:
        file.path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _created(path: Path) -> int:
    """Creates a file, and its folder if necessary; returns the file descriptor."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, flags, 0o600)
