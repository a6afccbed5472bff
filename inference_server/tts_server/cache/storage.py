"""A cache in a store: large audio, in a folder or a bucket."""

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import TypeVar

import structlog

from tts_server.cache.protocol import CachedReply
from tts_server.cache.serialization import encode_entry, unseal
from tts_server.storage.protocol import Store

log = structlog.get_logger(__name__)

R = TypeVar("R")
T = TypeVar("T")

AT_ONCE_BYTES = 512 * 1024
"""Sealed and looked at where it is: 0.2 ms, less than a thread and its way back."""
EXTENSION = "cache"
"""No audio format's: a link to one of these would lead nowhere."""


class StoredCache:
    """`Cache` over a `Store` of its own. Raises `StorageUnavailable`: put it behind `Guarded`."""

    def __init__(self, store: Store, tenant: str, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._tenant = tenant
        self._now = now

    async def get(self, key: str) -> CachedReply | None:
        """See `Cache.get`."""
        found = await self._store.fetch(self._key(key))
        if found is None:
            return None
        recording = await _here_or_there(len(found.content), unseal, key, found.content)
        if recording is None:
            log.warning("cached audio is broken: it is dropped", place="store")
            await self._store.remove(self._key(key))
        return None if recording is None or recording.expires <= self._now() else recording

    async def put(self, key: str, recording: CachedReply) -> None:
        """See `Cache.put`."""
        await self._store.keep(
            self._key(key), await _here_or_there(len(recording.content), encode_entry, key, recording)
        )

    async def sweep(self) -> None:
        """See `Cache.sweep`."""
        await self._store.sweep()

    def close(self) -> None:
        """See `Cache.close`."""
        self._store.close()

    def _key(self, key: str) -> str:
        """The store's form of name: a version 4 UUID by its looks."""
        return f"{self._tenant}/{uuid.UUID(bytes=bytes.fromhex(key)[:16], version=4)}.{EXTENSION}"


async def _here_or_there(size: int, work: Callable[[str, T], R], key: str, what: T) -> R:
    """In a thread, where so many bytes would hold up everybody else."""
    return work(key, what) if size <= AT_ONCE_BYTES else await asyncio.to_thread(work, key, what)
