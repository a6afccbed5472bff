"""Reloads files that change while the server runs; an invalid file leaves the last good version in use.

A mounted ConfigMap or Secret changes by one rename of the symbolic link `..data`, an editor's file by a rename or in
place. Polling the path's target four times a second finds all three on every file system, in microseconds; inotify
would need a watch on each directory of the chain, and a new one after every change.

A reload that fails for a reason that may pass (no free descriptor, no process for an engine) is tried again without
another change: after a second, then after twice as long each time, up to a minute.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from tts_server.config.files import BrokenFile, FailedForNow

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.25
FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 60.0
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
    failures: int = 0
    """Consecutive failures for reasons that may pass."""
    retry_at: float | None = None
    """When it is reloaded without a change, on the watcher's clock."""

    def fail_for_now(self, now: float) -> None:
        """Plan the next attempt."""
        seconds = FIRST_RETRY_SECONDS * float(2 ** min(self.failures, 16))
        self.failures += 1
        self.retry_at = now + min(LONGEST_RETRY_SECONDS, seconds)

    def settle(self) -> None:
        """Plan no attempt: only a change of the file can help, or nothing is to be helped."""
        self.failures, self.retry_at = 0, None


class Watcher:
    """Calls `reload` when a file or folder has changed. `reload` raises `BrokenFile` for an invalid one.

    After any other exception, and `FailedForNow`, it is called again. `now` is a monotonic clock in seconds.

    Reloads of one path do not overlap; those of different paths run concurrently, so that an engine that loads for
    minutes does not delay the removal of a key.

    `seen` has the signatures of files that were read before the watcher was made, from just before their reading: a
    change meanwhile is one that it has to tell.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic, seen: Mapping[Path, Signature] | None = None) -> None:
        self._now = now
        self._seen = dict(seen or {})
        self._watched: dict[Path, _Watched] = {}
        self._reloads: set[asyncio.Task[None]] = set()

    def watch(self, path: Path, reload: Reload, *, report_missing: bool = False) -> None:
        """Watch for changes since `seen`, or from now on. For a watched path it replaces `reload`.

        `report_missing`: call `reload` also when the path is removed.
        """
        watched = self._watched.get(path)
        if watched is None:
            seen = self._seen.pop(path) if path in self._seen else signature(path)
            self._watched[path] = _Watched(path, reload, seen, report_missing)
        else:
            watched.reload, watched.report_missing = reload, report_missing

    def retry(self, path: Path) -> None:
        """Reload a watched path at the next poll, though it has not changed."""
        self._watched[path].retry_at = self._now()

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
            if watched.reloading:
                continue
            current = signature(watched.path)
            if current != watched.signature:
                watched.settle()  # a new content has all its attempts
            elif watched.retry_at is None or self._now() < watched.retry_at:
                continue
            watched.signature, watched.retry_at = current, None
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
        except FailedForNow as error:
            watched.fail_for_now(self._now())
            log.warning("file not loaded; will retry", path=str(watched.path), reason=str(error))
        except BrokenFile as error:
            watched.settle()
            # Without a stack trace: the file is the cause.
            log.error("file invalid; keeping last good version", path=str(watched.path), reason=str(error))  # noqa: TRY400
        except Exception:  # a file must never end the server, nor the watching of its next change
            watched.fail_for_now(self._now())
            log.exception("reload failed; will retry", path=str(watched.path))
        else:
            watched.settle()
        finally:
            watched.reloading = False
