"""Reloads files that change while the server runs; an invalid file leaves the last good version in use.

A mounted ConfigMap or Secret changes by one rename of the symbolic link `..data`, an editor's file by a rename or in
place. Polling the path's target four times a second finds all three on every file system, in microseconds; inotify
would need a watch on each directory of the chain, and a new one after every change.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from tts_server.config.files import BrokenFile

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.25
Signature = tuple[object, ...] | None
Reload = Callable[[], Awaitable[None]]


def signature(path: Path) -> Signature:
    """Return a value that changes with the file, folder or content that `path` leads to; None: nothing there."""
    try:
        status = path.stat()
        if not path.is_dir():
            return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
        try:
            return (str((path / "..data").readlink()),)
        except OSError:  # a plain folder
            return tuple((file.name, signature(file)) for file in sorted(path.iterdir()) if not file.is_dir())
    except OSError:
        return None


@dataclass(slots=True)
class _Watched:
    path: Path
    reload: Reload
    signature: Signature
    report_missing: bool
    reloading: bool = False


class Watcher:
    """Calls `reload` when a file or folder has changed. `reload` raises `BrokenFile` for an invalid one.

    Reloads of one path do not overlap; those of different paths run concurrently, so that an engine that loads for
    minutes does not delay the removal of a key.
    """

    def __init__(self) -> None:
        self._watched: dict[Path, _Watched] = {}
        self._reloads: set[asyncio.Task[None]] = set()

    def watch(self, path: Path, reload: Reload, *, report_missing: bool = False) -> None:
        """Watch for changes from now on; call it before the first reading. For a watched path it replaces `reload`.

        `report_missing`: call `reload` also when the path is removed.
        """
        watched = self._watched.get(path)
        if watched is None:
            self._watched[path] = _Watched(path, reload, signature(path), report_missing)
        else:
            watched.reload, watched.report_missing = reload, report_missing

    def forget(self, path: Path) -> None:
        """Stop watching a path."""
        self._watched.pop(path, None)

    async def run(self) -> None:
        """Poll until cancelled."""
        try:
            while True:
                await asyncio.sleep(POLL_SECONDS)
                self._start_reloads()
        finally:
            for task in self._reloads:
                task.cancel()
            await asyncio.gather(*self._reloads, return_exceptions=True)

    async def poll(self) -> None:
        """Check every path once; return when everything that changed is reloaded."""
        await asyncio.gather(*self._start_reloads())

    def _start_reloads(self) -> list[asyncio.Task[None]]:
        """Start reloads of what has changed. A path that is still being reloaded is checked at the next poll."""
        started = []
        for watched in self._watched.values():
            if watched.reloading or (current := signature(watched.path)) == watched.signature:
                continue
            watched.signature = current
            if current is None and not watched.report_missing:
                log.warning("file missing; keeping last good version", path=str(watched.path))
                continue
            watched.reloading = True
            task = asyncio.create_task(self._reload(watched))
            self._reloads.add(task)
            task.add_done_callback(self._reloads.discard)
            started.append(task)
        return started

    async def _reload(self, watched: _Watched) -> None:
        try:
            await watched.reload()
        except BrokenFile as error:
            # Without a stack trace: the file is the cause.
            log.error("file invalid; keeping last good version", path=str(watched.path), reason=str(error))  # noqa: TRY400
        except Exception:  # a file must never end the server, nor the watching of its next change
            log.exception("reload failed", path=str(watched.path))
        finally:
            watched.reloading = False
