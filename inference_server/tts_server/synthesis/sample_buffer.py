"""Samples between the synthesis of a reply and its reader, and the clock of the client that plays them."""

import asyncio
import time
from collections import deque

import numpy as np

from tts_server.inference.client import Samples

AHEAD_SECONDS = 10.0
"""Audio that may be buffered when the next utterance begins."""


class SampleBuffer:
    """Samples of one reply that are synthesized and not read. One writer and one reader."""

    def __init__(self, sample_rate_hz: int) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.playback_end: float | None = None
        """`time.monotonic()` at which a client that plays without a pause runs out of audio; None before any."""
        self.utterance_was_read = False
        """Whether the reader has taken samples of the utterance that is being synthesized."""
        self._parts: deque[Samples] = deque()
        self._size = 0
        """Samples in `_parts`."""
        self._utterance_parts = 0
        """Parts at the end of `_parts` that belong to the utterance that is being synthesized."""
        self._room = asyncio.Event()
        self._room.set()
        self._reader: asyncio.Future[None] | None = None

    def __bool__(self) -> bool:
        return bool(self._parts)

    @property
    def utterance_is_silent(self) -> bool:
        """Whether no sample of the utterance that is being synthesized has been written."""
        return self._utterance_parts == 0 and not self.utterance_was_read

    def begin_utterance(self) -> None:
        """Count what is written from now on as the next utterance."""
        self._utterance_parts, self.utterance_was_read = 0, False

    def write(self, samples: Samples) -> None:
        """Append samples, without waiting for room: an engine's worker is not held up in the middle of an utterance."""
        if samples.size == 0:
            return
        self.playback_end = (self.playback_end or time.monotonic()) + samples.size / self.sample_rate_hz
        self._parts.append(samples)
        self._utterance_parts += 1
        self._size += samples.size
        if self._is_full:
            self._room.clear()
        self.wake_reader()

    def read(self) -> Samples:
        """Take everything that is buffered: at least one part."""
        samples = self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
        self._parts.clear()
        self._size = 0
        self.utterance_was_read = self.utterance_was_read or self._utterance_parts > 0
        self._utterance_parts = 0
        self._room.set()
        return samples

    def drop_utterance(self) -> None:
        """Remove the samples of the utterance that is being synthesized; none of them may have been read."""
        for _ in range(self._utterance_parts):
            dropped = self._parts.pop().size
            self._size -= dropped
            self.playback_end = (self.playback_end or 0.0) - dropped / self.sample_rate_hz
        self._utterance_parts = 0
        if not self._is_full:
            self._room.set()

    async def wait_for_room(self) -> None:
        """Return once another utterance may begin."""
        await self._room.wait()

    async def wait_for_change(self) -> None:
        """Return at the next `write` or `wake_reader`."""
        self._reader = asyncio.get_running_loop().create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    def wake_reader(self) -> None:
        """End the reader's `wait_for_change`."""
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    @property
    def _is_full(self) -> bool:
        return self._size > AHEAD_SECONDS * self.sample_rate_hz
