"""Files that change while the server runs: read again when they do, and kept out when they are broken.

A mounted ConfigMap or Secret changes by one rename of the symbolic link `..data`, an editor's file by a rename or in
place. Looking at what the path leads to finds all three, on every file system, four times a second, for a few
microseconds; inotify would need a watch on each directory of the chain, and one more after every change.
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
Take = Callable[[], Awaitable[None]]


def signature(path: Path) -> Signature:
    """Changes whenever what `path` leads to is another file, another folder or other content; None: nothing there."""
    try:
        found = path.stat()
        if not path.is_dir():
            return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
        try:
            return (str((path / "..data").readlink()),)
        except OSError:  # a plain folder
            return tuple((file.name, signature(file)) for file in sorted(path.iterdir()) if not file.is_dir())
    except OSError:
        return None


@dataclass(slots=True)
class _Watched:
    path: Path
    take: Take
    seen: Signature
    or_gone: bool
    taking: bool = False


class Watcher:
    """Calls `take` when a file or folder has changed. What `take` cannot use, it raises `BrokenFile` for.

    Each is called alone, but beside those of others: an engine that takes minutes to load keeps no key valid.
    """

    def __init__(self) -> None:
        self._watched: dict[Path, _Watched] = {}
        self._taking: set[asyncio.Task[None]] = set()

    def watch(self, path: Path, take: Take, *, or_gone: bool = False) -> None:
        """From its state now on: call it before the first reading. Again for the same path, it only renews `take`.

        `or_gone`: `take` hears of it too when nothing is there any more.
        """
        known = self._watched.get(path)
        if known is None:
            self._watched[path] = _Watched(path, take, signature(path), or_gone)
        else:
            known.take, known.or_gone = take, or_gone

    def forget(self, path: Path) -> None:
        """No more calls for it."""
        self._watched.pop(path, None)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await asyncio.sleep(POLL_SECONDS)
                self._begin()
        finally:
            for taking in self._taking:
                taking.cancel()
            await asyncio.gather(*self._taking, return_exceptions=True)

    async def look(self) -> None:
        """Once over everything: return when what has changed is taken."""
        await asyncio.gather(*self._begin())

    def _begin(self) -> list[asyncio.Task[None]]:
        """Take what has changed. What is being taken still is looked at afterwards."""
        begun = []
        for watched in self._watched.values():
            if watched.taking or (now := signature(watched.path)) == watched.seen:
                continue
            watched.seen = now
            if now is None and not watched.or_gone:
                log.warning("file is gone: what it said last holds", path=str(watched.path))
                continue
            watched.taking = True
            taking = asyncio.create_task(self._take(watched))
            self._taking.add(taking)
            taking.add_done_callback(self._taking.discard)
            begun.append(taking)
        return begun

    async def _take(self, watched: _Watched) -> None:
        try:
            await watched.take()
        except BrokenFile as error:
            # Without its stack: the file is to blame.
            log.error("file is broken: what it said before holds", path=str(watched.path), reason=str(error))  # noqa: TRY400
        except Exception:  # a file must never end the server; the next change is looked at all the same
            log.exception("file was not taken", path=str(watched.path))
        finally:
            watched.taking = False
