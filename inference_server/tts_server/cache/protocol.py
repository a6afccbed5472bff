"""What a cache is."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class CachedReply:
    """A reply as it was sent whole."""

    content: bytes
    """A file of its format, its header with true lengths."""
    audio_seconds: float
    expires: float
    """Unix time from which on nobody gets it."""


class Cache(Protocol):
    """Keeps recordings by `cache_key`, until they expire or others need the room. It never raises: it has or has not.

    What is broken, or comes too late, is not there.
    """

    async def get(self, key: str) -> CachedReply | None:
        """None for a miss."""

    async def put(self, key: str, recording: CachedReply) -> None:
        """May be forgotten at once, where it does not fit."""

    async def sweep(self) -> None:
        """Remove what has expired, as far as nobody else does."""

    def close(self) -> None:
        """No more calls."""
