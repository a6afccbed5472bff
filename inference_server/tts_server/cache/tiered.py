"""A cache in front of others: this process's memory, then the tiers that replicas share.

           get                                     put
memory     first                                   every entry
small      if memory has no entry                  entries up to `small_bytes`; for larger ones a marker
large      if `small` has a marker,                larger entries
           or if there is no `small`
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace

from tts_server.cache.memory import MemoryCache
from tts_server.cache.protocol import Cache, CachedReply

MARKER = b""
"""Content of an entry of `small` that stands for one of `large`. A file of any format is longer."""
WRITES = 16
"""Maximum concurrent writes to the shared tiers; entries beyond it stay in memory only."""


class TieredCache:
    """`Cache` of three tiers. `put` returns once the entry is in memory; the others are written in the background."""

    def __init__(self, memory: MemoryCache, small: Cache | None, large: Cache | None, small_bytes: int) -> None:
        self.memory = memory
        self._small = small
        self._large = large
        self._small_bytes = small_bytes
        self._writes: set[asyncio.Task[None]] = set()

    async def get(self, key: str) -> CachedReply | None:
        entry = await self.memory.get(key)
        if entry is not None:
            return entry
        entry = await self._small.get(key) if self._small is not None else None
        if self._large is not None and (self._small is None or (entry is not None and entry.content == MARKER)):
            entry = await self._large.get(key)
        if entry is None or entry.content == MARKER:
            return None
        await self.memory.put(key, entry)
        return entry

    async def put(self, key: str, entry: CachedReply) -> None:
        await self.memory.put(key, entry)
        if self._small is not None or self._large is not None:
            self._write(self._share(key, entry))

    async def sweep(self) -> None:
        for tier in self._tiers:
            await tier.sweep()

    async def written(self) -> None:
        """Return when all background writes have ended."""
        while self._writes:
            await asyncio.wait(self._writes)

    def close(self) -> None:
        for write in self._writes:
            write.cancel()
        for tier in self._tiers:
            tier.close()

    @property
    def _tiers(self) -> list[Cache]:
        return [tier for tier in (self.memory, self._small, self._large) if tier is not None]

    async def _share(self, key: str, entry: CachedReply) -> None:
        if len(entry.content) <= self._small_bytes:
            if self._small is not None:
                await self._small.put(key, entry)
        elif self._large is not None:
            await self._large.put(key, entry)
            if self._small is not None:  # only now: a reader of the marker must find the entry
                await self._small.put(key, replace(entry, content=MARKER))

    def _write(self, work: Coroutine[None, None, None]) -> None:
        if len(self._writes) >= WRITES:
            work.close()
            return
        write = asyncio.create_task(work)
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)
