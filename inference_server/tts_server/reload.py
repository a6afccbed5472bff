"""Files that change while the server runs: read again when they do, and kept out when they are broken.

A mounted ConfigMap or Secret changes by one rename of the symbolic link `..data`, an editor's file by a rename or in
place. Looking at what the path leads to finds all three, on every file system, four times a second, for a few
microseconds; inotify would need a watch on each directory of the chain, and one more after every change.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import structlog
import yaml
from pydantic import BaseModel, ValidationError

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.25
LARGEST_FILE_BYTES = 4 * 1024 * 1024
"""A ConfigMap holds at most 1 MiB."""

M = TypeVar("M", bound=BaseModel)
Signature = tuple[object, ...] | None
Take = Callable[[], Awaitable[None]]


class BrokenFile(ValueError):  # noqa: N818 - it says what happened
    """A file that cannot be used; the message says where and why, and quotes nothing of its content."""


def read_model(path: Path, model: type[M]) -> M:
    """What `path` holds, JSON or YAML, checked. Raises `BrokenFile`."""
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise BrokenFile(f"{path} is larger than {LARGEST_FILE_BYTES} bytes")
        text = path.read_text("utf-8")
        # In strict JSON mode below: what a ConfigMap holds as a list must become a tuple, and nothing else changes.
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        return model.model_validate_json(json.dumps(content))
    except ValidationError as error:
        raise BrokenFile(f"{path}: {_first(error)}") from None
    except OSError as error:
        raise BrokenFile(f"{path}: {error.strerror}") from None
    except (ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        if isinstance(error, BrokenFile):
            raise
        raise BrokenFile(f"{path} is no {'JSON' if path.suffix == '.json' else 'YAML'}{_where(error)}") from None


def _first(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    said = "there is no such field" if first["type"] == "extra_forbidden" else first["msg"]
    return f"{'.'.join(map(str, first['loc'])) or 'the document'}: {said}{more}"


def _where(error: Exception) -> str:
    """The line at which the parser gave up, where it tells."""
    if isinstance(error, json.JSONDecodeError):
        return f": see line {error.lineno}"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f": see line {error.problem_mark.line + 1}"
    return ""


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
