"""A cache in front of others: this process's memory, then what replicas share.

           get                                     put
memory     first                                   everything
small      where memory has it not                 up to `small_bytes`; of larger ones a note that there is one
large      where `small` has such a note,          the rest
           or where there is no `small` to ask
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace

from tts_server.cache.memory import MemoryCache
from tts_server.cache.protocol import Cache, CachedReply

NOTE = b""
"""Content of a small recording that stands for a large one: no format is ever empty."""
WRITES = 16
"""Under way at once. Beyond that others are slower than speech: what is spoken stays in memory only."""


class TieredCache:
    """`Cache` over three. `put` returns once the recording is in memory; others are told in the background."""

    def __init__(self, memory: MemoryCache, small: Cache | None, large: Cache | None, small_bytes: int) -> None:
        self.memory = memory
        self._small = small
        self._large = large
        self._small_bytes = small_bytes
        self._writes: set[asyncio.Task[None]] = set()

    async def get(self, key: str) -> CachedReply | None:
        """See `Cache.get`."""
        found = await self.memory.get(key)
        if found is not None:
            return found
        found = await self._small.get(key) if self._small is not None else None
        if self._large is not None and (self._small is None or (found is not None and found.content == NOTE)):
            found = await self._large.get(key)
        if found is None or found.content == NOTE:
            return None
        await self.memory.put(key, found)
        return found

    async def put(self, key: str, recording: CachedReply) -> None:
        """See `Cache.put`."""
        await self.memory.put(key, recording)
        if self._small is not None or self._large is not None:
            self._write(self._share(key, recording))

    async def sweep(self) -> None:
        """See `Cache.sweep`."""
        for tier in self._tiers:
            await tier.sweep()

    async def written(self) -> None:
        """Return when nothing is on its way to others."""
        while self._writes:
            await asyncio.wait(self._writes)

    def close(self) -> None:
        """See `Cache.close`. What is on its way to others may not arrive."""
        for write in self._writes:
            write.cancel()
        for tier in self._tiers:
            tier.close()

    @property
    def _tiers(self) -> list[Cache]:
        return [tier for tier in (self.memory, self._small, self._large) if tier is not None]

    async def _share(self, key: str, recording: CachedReply) -> None:
        if len(recording.content) <= self._small_bytes:
            if self._small is not None:
                await self._small.put(key, recording)
        elif self._large is not None:
            await self._large.put(key, recording)
            if self._small is not None:  # only now: a note must not be read before what it stands for
                await self._small.put(key, replace(recording, content=NOTE))

    def _write(self, work: Coroutine[None, None, None]) -> None:
        if len(self._writes) >= WRITES:
            work.close()
            return
        write = asyncio.create_task(work)
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)
