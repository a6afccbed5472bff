"""The protocol of all caches."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class CachedReply:
    """A complete encoded reply."""

    content: bytes
    """A file of the reply's format, with the true lengths in its header."""
    audio_seconds: float
    expires: float
    """Unix time, seconds."""


class Cache(Protocol):
    """Keeps replies by `cache_key` until they expire or are evicted. Never raises: a broken or late entry is a miss."""

    async def get(self, key: str) -> CachedReply | None:
        """The entry, or None."""

    async def put(self, key: str, entry: CachedReply) -> None:
        """Store an entry. One that does not fit is dropped."""

    async def sweep(self) -> None:
        """Delete expired entries, unless the store does so itself."""

    def close(self) -> None:
        """Release resources. No other method may be called afterwards."""
