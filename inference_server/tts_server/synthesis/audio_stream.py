"""What one request hears: made for it now, shared with others on its way, or kept from before."""

from typing import Protocol

from tts_server.cache import CachedReply

Part = tuple[bytes, float]
"""Encoded audio, never empty, and the seconds of sound up to its end."""


class AudioStream(Protocol):
    """What one request hears, from a flight or from the cache."""

    @property
    def finished(self) -> bool:
        """Whether all of it is spoken, heard or not."""

    @property
    def spoken_by(self) -> str:
        """The model that speaks in place of the one that was asked for; empty where that one does."""

    async def first(self) -> None:
        """Return when there is sound. Raises `EngineError` where none comes."""

    async def settle(self, seconds: float) -> None:
        """Return when all of it is spoken, or after so long."""

    async def part(self) -> Part | None:
        """The next one, None after the last. Raises `EngineError` where it broke off."""

    async def whole(self) -> tuple[bytes, float]:
        """All of it as a file, and its seconds of sound, for whoever sends nothing before. Raises `EngineError`."""

    async def leave(self) -> None:
        """Nobody hears it here any more; safe at any time, and needed always."""


class CachedAudio:
    """`AudioStream` from the cache."""

    finished = True
    spoken_by = ""

    def __init__(self, recording: CachedReply) -> None:
        self._recording = recording
        self._left: Part | None = (recording.content, recording.audio_seconds)

    async def first(self) -> None:
        """See `AudioStream.first`."""

    async def settle(self, seconds: float) -> None:
        """See `AudioStream.settle`."""
        del seconds

    async def part(self) -> Part | None:
        """See `AudioStream.part`."""
        part, self._left = self._left, None
        return part

    async def whole(self) -> tuple[bytes, float]:
        """See `AudioStream.whole`."""
        return self._recording.content, self._recording.audio_seconds

    async def leave(self) -> None:
        """See `AudioStream.leave`."""
