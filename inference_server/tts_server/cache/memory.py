"""A cache in this process."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from tts_server.cache.protocol import CachedReply


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """How much is kept at once; `max_bytes` counts the audio."""

    max_entries: int
    max_bytes: int


class MemoryCache:
    """`Cache` that drops what was used least recently once a limit is reached."""

    def __init__(self, limits: CacheLimits, now: Callable[[], float] = time.time) -> None:
        self._limits = limits
        self._now = now
        self._entries: OrderedDict[str, CachedReply] = OrderedDict()
        self.bytes = 0
        """Kept now."""

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, key: str) -> CachedReply | None:
        """See `Cache.get`."""
        recording = self._entries.get(key)
        if recording is None:
            return None
        if recording.expires <= self._now():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return recording

    async def put(self, key: str, recording: CachedReply) -> None:
        """See `Cache.put`."""
        self._drop(key)
        if len(recording.content) > self._limits.max_bytes or recording.expires <= self._now():
            return
        self._entries[key] = recording
        self.bytes += len(recording.content)
        while self.bytes > self._limits.max_bytes or len(self._entries) > self._limits.max_entries:
            self._drop(next(iter(self._entries)))

    async def sweep(self) -> None:
        """See `Cache.sweep`."""
        now = self._now()
        for key in [key for key, recording in self._entries.items() if recording.expires <= now]:
            self._drop(key)

    def close(self) -> None:
        """See `Cache.close`."""
        self._entries.clear()
        self.bytes = 0

    def _drop(self, key: str) -> None:
        recording = self._entries.pop(key, None)
        if recording is not None:
            self.bytes -= len(recording.content)
