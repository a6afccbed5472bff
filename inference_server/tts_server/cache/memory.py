"""The cache in this process's memory."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from tts_server.cache.protocol import CachedReply


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """Maximum contents; `max_bytes` counts audio only."""

    max_entries: int
    max_bytes: int


class MemoryCache:
    """`Cache` that evicts the least recently used entry when a limit is reached."""

    def __init__(self, limits: CacheLimits, now: Callable[[], float] = time.time) -> None:
        self._limits = limits
        self._now = now
        self._entries: OrderedDict[str, CachedReply] = OrderedDict()
        self.bytes = 0
        """Bytes of audio in the cache."""

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, key: str) -> CachedReply | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires <= self._now():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry

    async def put(self, key: str, entry: CachedReply) -> None:
        self._drop(key)
        if len(entry.content) > self._limits.max_bytes or entry.expires <= self._now():
            return
        self._entries[key] = entry
        self.bytes += len(entry.content)
        while self.bytes > self._limits.max_bytes or len(self._entries) > self._limits.max_entries:
            self._drop(next(iter(self._entries)))

    async def sweep(self) -> None:
        now = self._now()
        for key in [key for key, entry in self._entries.items() if entry.expires <= now]:
            self._drop(key)

    def close(self) -> None:
        self._entries.clear()
        self.bytes = 0

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= len(entry.content)
