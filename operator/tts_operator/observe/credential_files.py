"""Credentials of the operator's own stores, in files of Secrets that its pod mounts and that may change."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import structlog

from tts_operator.credentials.shared_stores import ACCESS_KEY, CERTIFICATE, SECRET_KEY
from tts_operator.settings import Settings

log = structlog.get_logger()


class StoreFiles:
    """Current content of the files. While one cannot be read, its last content is used."""

    def __init__(self, settings: Settings) -> None:
        self._redis = settings.redis.directory if settings.redis else None
        self._s3 = settings.s3.directory if settings.s3 else None
        self._last: dict[Path, str] = {}

    def check(self) -> None:
        """Read every required file once, at startup. Raises OSError, and ValueError for an empty file."""
        for name in (ACCESS_KEY, SECRET_KEY) if self._s3 else ():
            assert self._s3 is not None  # noqa: S101 - implied by the condition above
            if not (self._s3 / name).read_text("utf-8").strip():
                raise ValueError(f"{self._s3 / name} is empty")

    def changed_at(self) -> tuple[int, ...]:
        """When each file changed, in nanoseconds; 0 for a missing one. Changes are noticed by comparison."""
        files = [self._redis / CERTIFICATE] if self._redis else []
        files += [self._s3 / name for name in (ACCESS_KEY, SECRET_KEY)] if self._s3 else []
        return tuple(map(_changed_at, files))

    async def s3_keys(self) -> Mapping[str, str]:
        """ACCESS_KEY and SECRET_KEY; empty without an object store."""
        if self._s3 is None:
            return {}
        return {name: await self._read(self._s3 / name) for name in (ACCESS_KEY, SECRET_KEY)}

    async def redis_certificate(self) -> str:
        """PEM certificates; empty without a file."""
        return await self._read(self._redis / CERTIFICATE) if self._redis else ""

    async def _read(self, file: Path) -> str:
        try:
            text = await asyncio.to_thread(file.read_text, "utf-8")
        except FileNotFoundError:
            return self._last.get(file, "")
        except (OSError, UnicodeDecodeError) as error:
            log.warning("credentials file unreadable; keeping last content", file=str(file), error=type(error).__name__)
            return self._last.get(file, "")
        self._last[file] = text.strip()
        return self._last[file]


def _changed_at(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0
