"""Reads a worker's replies: frames become samples and errors; a worker that breaks the protocol is killed."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tts_server.errors import EngineCrashed, EngineError, EngineTimeout, InvalidAudio
from tts_server.inference.client import Samples
from tts_server.inference.pool.worker_process import WorkerProcess
from tts_server.inference.wire.errors import error_of
from tts_server.inference.wire.frames import (
    BrokenFrame,
    Frame,
    Kind,
    PipeEnded,
    json_content,
    member_content,
    shared_range,
)

MemberReply = tuple[int, Samples | EngineError | None]
"""The number of an utterance in its batch with a part of its samples, its failure, or None at its end."""


class WorkerReplies:
    """The replies of one worker process. `EngineCrashed` means that the process is gone."""

    def __init__(self, engine: str, process: WorkerProcess) -> None:
        self._engine = engine
        self._process = process

    async def receive(self) -> Frame:
        """Return the next frame. A cancelled call loses nothing. Raises `EngineCrashed`."""
        return await self._receive(None)

    async def receive_within(self, timeout_seconds: float) -> Frame:
        """Return the next frame. Raises `EngineCrashed` and `EngineTimeout`."""
        try:
            return await self._receive(timeout_seconds)
        except TimeoutError:
            raise EngineTimeout(f"Engine {self._engine} returned no audio for {timeout_seconds:g} s.") from None

    async def samples(self, first: Frame) -> Samples:
        """Return the samples of `first` and of the audio frames that have arrived behind it, as one part.

        One large part costs less on its way than many small ones. Raises `InvalidAudio` and `EngineCrashed`.
        """
        more = self._process.pipe.buffered_audio()
        if first[0] is Kind.AUDIO and not more:
            return self._as_samples(first[1])
        try:
            data = b"".join([self._audio_bytes(frame) for frame in (first, *more)])
        except PipeEnded:
            raise await self.crashed() from None
        except BrokenFrame as error:
            raise await self._broken(error) from error
        return self._as_samples(data)

    async def member(self, payload: memoryview, batch_size: int) -> MemberReply:
        """Parse a MEMBER frame of a batch of this size. Raises `EngineCrashed`."""
        try:
            kind, number, content = member_content(payload)
        except BrokenFrame as error:
            raise await self._broken(error) from error
        if number >= batch_size:
            raise await self._broken(BrokenFrame(f"no utterance of the batch has the number {number}"))
        if kind is not Kind.AUDIO:
            return number, None if kind is Kind.DONE else error_in(kind, content)
        try:
            return number, self._as_samples(content)
        except InvalidAudio as error:
            return number, error

    async def crashed(self) -> EngineCrashed:
        """Kill the process, whose pipe has ended, and return the error that says how it ended."""
        await self._process.kill()
        return EngineCrashed(f"Engine {self._engine} ended with {self._process.ending}.")

    async def _receive(self, timeout_seconds: float | None) -> Frame:
        try:
            return await self._process.pipe.receive(timeout_seconds)
        except PipeEnded:
            raise await self.crashed() from None
        except BrokenFrame as error:
            raise await self._broken(error) from error

    async def _broken(self, error: BrokenFrame) -> EngineCrashed:
        await self._process.kill()
        return EngineCrashed(f"Engine {self._engine} broke its protocol: {error}.")

    def _audio_bytes(self, frame: Frame) -> memoryview:
        kind, payload = frame
        if kind is Kind.AUDIO:
            return payload
        if self._process.shared_buffer is None:
            raise BrokenFrame("there is no shared memory")
        return self._process.shared_buffer.read(*shared_range(payload))

    def _as_samples(self, data: memoryview | bytes) -> Samples:
        if not data or len(data) % 2:
            raise InvalidAudio(f"Engine {self._engine} yielded samples that are not numbers.")
        return np.frombuffer(data, "<i2")


def error_in(kind: Kind, payload: memoryview) -> EngineError:
    """Return the error of an ERROR frame; any other kind is one that may not come here."""
    if kind is not Kind.ERROR:
        return EngineCrashed(f"The engine sent an unexpected {kind.name} frame.")
    content: Mapping[str, Any] = json_content(payload)
    return error_of(content)
