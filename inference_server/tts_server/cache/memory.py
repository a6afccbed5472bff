"""The cache in this process's memory."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from tts_server.cache.protocol import CachedReply


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """Maximum contents; `max_bytes` counts audio only."""

    max_entries: int
    max_bytes: int


@dataclass(eq=False, slots=True)
class CacheBudget:
    """Memory that the caches of several tenants share.

    The cache with the most bytes gives way: a tenant within an equal part of the budget loses nothing to the others.
    """

    max_bytes: int
    caches: "set[MemoryCache]" = field(default_factory=set)
    """Caches with entries."""
    bytes: int = 0

    @property
    def entries(self) -> int:
        """Entries of all caches."""
        return sum(len(cache) for cache in self.caches)

    def make_room(self) -> None:
        """Evict until the budget is kept."""
        while self.bytes > self.max_bytes and self.caches:
            max(self.caches, key=lambda cache: cache.bytes).evict()


class MemoryCache:
    """`Cache` that evicts the least recently used entry when a limit is reached, its own or that of its budget."""

    def __init__(
        self, limits: CacheLimits, now: Callable[[], float] = time.time, budget: CacheBudget | None = None
    ) -> None:
        self._limits = limits
        self._now = now
        self._budget = CacheBudget(limits.max_bytes) if budget is None else budget
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
        self._count(len(entry.content))
        while self.bytes > self._limits.max_bytes or len(self._entries) > self._limits.max_entries:
            self.evict()
        self._budget.make_room()

    def evict(self) -> None:
        """Drop the least recently used entry."""
        self._drop(next(iter(self._entries)))

    async def sweep(self) -> None:
        now = self._now()
        for key in [key for key, entry in self._entries.items() if entry.expires <= now]:
            self._drop(key)

    def close(self) -> None:
        self._entries.clear()
        self._count(-self.bytes)

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._count(-len(entry.content))

    def _count(self, change: int) -> None:
        self.bytes += change
        self._budget.bytes += change
        if self._entries:
            self._budget.caches.add(self)
        else:
            self._budget.caches.discard(self)
