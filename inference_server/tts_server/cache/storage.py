"""The cache in object storage: large audio, in a folder or a bucket."""

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import TypeVar

import structlog

from tts_server.cache.protocol import CachedReply
from tts_server.cache.serialization import decode_entry, encode_entry
from tts_server.storage.protocol import Store

log = structlog.get_logger(__name__)

R = TypeVar("R")
T = TypeVar("T")

AT_ONCE_BYTES = 512 * 1024
"""Up to this size an entry is encoded on the event loop: that takes 0.2 ms, less than using a thread."""
EXTENSION = "cache"
"""Not the extension of an audio format, so that no link can point to a cache entry."""


class StorageCache:
    """`Cache` over a `Store` of its own. Raises `StorageUnavailable`: wrap it in a `ResilientCache`."""

    def __init__(self, store: Store, tenant: str, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._tenant = tenant
        self._now = now

    async def get(self, key: str) -> CachedReply | None:
        stored = await self._store.fetch(self._key(key))
        if stored is None:
            return None
        entry = await _run(len(stored.content), decode_entry, key, stored.content)
        if entry is None:
            log.warning("cached audio corrupt; deleted", place="store")
            await self._store.remove(self._key(key))
        return None if entry is None or entry.expires <= self._now() else entry

    async def put(self, key: str, entry: CachedReply) -> None:
        await self._store.keep(self._key(key), await _run(len(entry.content), encode_entry, key, entry))

    async def sweep(self) -> None:
        await self._store.sweep()

    def close(self) -> None:
        self._store.close()

    def _key(self, key: str) -> str:
        """A key of the store: it has the form of a version 4 UUID."""
        return f"{self._tenant}/{uuid.UUID(bytes=bytes.fromhex(key)[:16], version=4)}.{EXTENSION}"


async def _run(size: int, work: Callable[[str, T], R], key: str, what: T) -> R:
    """Runs `work` in a thread if so many bytes would block the event loop."""
    return work(key, what) if size <= AT_ONCE_BYTES else await asyncio.to_thread(work, key, what)
