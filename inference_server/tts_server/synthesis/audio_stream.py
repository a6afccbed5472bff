"""The audio of one request: synthesized now, perhaps for other requests too, or cached."""

from typing import Protocol

from tts_server.cache import CachedReply

Part = tuple[bytes, float]
"""Encoded audio, never empty, and the duration in seconds of all audio up to its end."""


class AudioStream(Protocol):
    """The encoded audio of one request. Has one reader, which always calls `close`."""

    @property
    def complete(self) -> bool:
        """Whether all of the audio is synthesized, read or not."""

    @property
    def fallback_model(self) -> str:
        """The model that synthesizes instead of the requested one; empty while none does."""

    @property
    def fallback_reason(self) -> str:
        """Code of the error because of which a fallback synthesizes; empty while none does."""

    async def start(self) -> None:
        """Return once there is audio. Raises `EngineError` if no model produces any."""

    async def wait_complete(self, timeout_seconds: float) -> None:
        """Return once all of the audio is synthesized, or after the timeout."""

    async def wait_whole(self, timeout_seconds: float, max_bytes: int) -> bool:
        """Return whether `whole` is ready, or has failed, within the time and the size; either way all can be read."""

    async def part(self) -> Part | None:
        """Return the next part, or None after the last. Raises `EngineError` if synthesis failed before the end."""

    async def whole(self) -> Part:
        """Return all of the audio as one file. Only for a reader that has called no `part`. Raises `EngineError`."""

    async def close(self) -> None:
        """Stop reading; the synthesis stops with its last reader. Safe to call twice."""


class CachedAudio:
    """`AudioStream` of a cache hit: one part that is the whole file."""

    complete = True
    fallback_model = ""
    fallback_reason = ""

    def __init__(self, reply: CachedReply) -> None:
        self._file: Part = reply.content, reply.audio_seconds
        self._unread: Part | None = self._file

    async def start(self) -> None:
        pass

    async def wait_complete(self, timeout_seconds: float) -> None:
        pass

    async def wait_whole(self, timeout_seconds: float, max_bytes: int) -> bool:
        del timeout_seconds, max_bytes
        return True

    async def part(self) -> Part | None:
        part, self._unread = self._unread, None
        return part

    async def whole(self) -> Part:
        return self._file

    async def close(self) -> None:
        pass
