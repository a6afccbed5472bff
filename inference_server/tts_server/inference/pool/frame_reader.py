"""What a worker says, from the parent's side: read as it comes, all that the pipe holds with one system call."""

import asyncio
import os
from collections import deque

from tts_server.inference.wire.frames import PIPE_BYTES, SOUND, BrokenFrame, Frame, PipeEnded, Unpacker

READ_BYTES = 65_536
"""At a time, but for a frame that is known to be longer."""
HELD_BYTES = PIPE_BYTES
"""Of sound that nobody takes: reading stops there, then the worker does."""


class FrameReader:
    """Frames from a file descriptor, which it owns. One receiver at a time."""

    def __init__(self, source: int) -> None:
        os.set_blocking(source, False)
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._unpacker = Unpacker()
        self._frames: deque[Frame] = deque()
        self.held_bytes = 0
        """Of payloads that nobody has taken yet."""
        self._reading = False
        self._end: Exception | None = None
        """What to raise once all frames are taken."""
        self._waiting: asyncio.Future[None] | None = None
        self._read_on()

    async def receive(self, timeout_seconds: float | None = None) -> Frame:
        """The next frame; a cancelled call loses none. Raises `PipeEnded`, `BrokenFrame`, `TimeoutError`."""
        while not self._frames:
            if self._end is not None:
                raise self._end
            await self._something(timeout_seconds)
        return self._take()

    def more_sound(self) -> list[Frame]:
        """AUDIO and SHARED that have come already."""
        more = []
        while self._frames and self._frames[0][0] in SOUND:
            more.append(self._take())
        return more

    def close(self) -> None:
        """Read no more. Safe to call twice."""
        self._pause()
        if self._source >= 0:
            os.close(self._source)
            self._source = -1
        self._ended(PipeEnded())

    def _take(self) -> Frame:
        frame = self._frames.popleft()
        self.held_bytes -= len(frame[1])
        if not self._reading and self._end is None and self.held_bytes < HELD_BYTES:
            self._read_on()
        return frame

    async def _something(self, timeout_seconds: float | None) -> None:
        """Return at the next news. Not `asyncio.timeout`: it costs more than reading a sentence does."""
        waiting = self._waiting = self._loop.create_future()
        timer = None if timeout_seconds is None else self._loop.call_later(timeout_seconds, _time_out, waiting)
        try:
            await waiting
        finally:
            self._waiting = None
            if timer is not None:
                timer.cancel()

    def _read_on(self) -> None:
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
            self._ended(PipeEnded())
            return
        try:
            for frame in self._unpacker.feed(data):
                self._frames.append(frame)
                self.held_bytes += len(frame[1])
        except BrokenFrame as error:
            self._ended(error)
            return
        if self.held_bytes >= HELD_BYTES:
            self._pause()
        if self._frames:
            self._tell()

    def _ended(self, end: Exception) -> None:
        self._pause()
        self._end = self._end or end
        self._tell()

    def _tell(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


def _time_out(waiting: "asyncio.Future[None]") -> None:
    if not waiting.done():
        waiting.set_exception(TimeoutError())
