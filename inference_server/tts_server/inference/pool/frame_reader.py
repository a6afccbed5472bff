"""Reads a worker's frames in the parent: everything that the pipe holds with one system call."""

import asyncio
import os
from collections import deque
from copy import copy

from tts_server.inference.wire.frames import AUDIO_KINDS, PIPE_BYTES, BrokenFrame, Frame, PipeEnded, Unpacker

READ_BYTES = 65_536
"""Bytes per read, unless a frame is known to be longer."""
HELD_BYTES = PIPE_BYTES
"""Unread payload at which reading pauses; the worker blocks when the pipe is full, too."""


class FrameReader:
    """Reads frames from a file descriptor, which it owns. One receiver at a time."""

    def __init__(self, source: int) -> None:
        os.set_blocking(source, False)
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._unpacker = Unpacker()
        self._frames: deque[Frame] = deque()
        self.held_bytes = 0
        """Size of the payloads that were not received yet."""
        self._reading = False
        self._end: Exception | None = None
        """Raised once all frames are received."""
        self._receiver: asyncio.Future[None] | None = None
        self._resume()

    async def receive(self, timeout_seconds: float | None = None) -> Frame:
        """Return the next frame; a cancelled call loses none. Raises `PipeEnded`, `BrokenFrame`, `TimeoutError`."""
        while not self._frames:
            if self._end is not None:
                raise copy(self._end)  # the original would hold this frame, and so this reader with all it has read
            await self._wait(timeout_seconds)
        return self._take()

    def buffered_audio(self) -> list[Frame]:
        """Take the AUDIO and SHARED frames that have arrived already."""
        frames = []
        while self._frames and self._frames[0][0] in AUDIO_KINDS:
            frames.append(self._take())
        return frames

    def close(self) -> None:
        """Stop reading and close the descriptor. Safe to call twice."""
        self._pause()
        if self._source >= 0:
            os.close(self._source)
            self._source = -1
        self._end_with(PipeEnded())

    def _take(self) -> Frame:
        frame = self._frames.popleft()
        self.held_bytes -= len(frame[1])
        if not self._reading and self._end is None and self.held_bytes < HELD_BYTES:
            self._resume()
        return frame

    async def _wait(self, timeout_seconds: float | None) -> None:
        """Return when a frame or the end has arrived. Not `asyncio.timeout`: it costs more than reading a sentence."""
        receiver = self._receiver = self._loop.create_future()
        timer = None if timeout_seconds is None else self._loop.call_later(timeout_seconds, _time_out, receiver)
        try:
            await receiver
        finally:
            self._receiver = None
            if timer is not None:
                timer.cancel()

    def _resume(self) -> None:
        self._reading = True
        self._loop.add_reader(self._source, self._read)

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._source)

    def _read(self) -> None:
        try:
            data = os.read(self._source, max(READ_BYTES, self._unpacker.missing_bytes))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end_with(PipeEnded())
            return
        try:
            for frame in self._unpacker.feed(data):
                self._frames.append(frame)
                self.held_bytes += len(frame[1])
        except BrokenFrame as error:
            self._end_with(error)
            return
        if self.held_bytes >= HELD_BYTES:
            self._pause()
        if self._frames:
            self._wake()

    def _end_with(self, end: Exception) -> None:
        self._pause()
        self._end = self._end or end
        self._wake()

    def _wake(self) -> None:
        if self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(None)


def _time_out(receiver: "asyncio.Future[None]") -> None:
    if not receiver.done():
        receiver.set_exception(TimeoutError())
