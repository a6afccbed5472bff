"""Memory that a worker and its parent both have: sound is put there once, and no kernel copies it on its way.

A worker fills one half of it with an utterance and the other with the next, and says in a frame where each part lies;
its parent copies a part out when somebody takes it. Nothing is waited for: a parent asks for an utterance when it has
taken all of the one before the last, or wants no more of it. What does not fit goes through the pipe.
"""

import mmap
import os
from contextlib import suppress

import numpy as np

from tts_server.inference.wire.frames import BrokenFrame, PipeEnded
from tts_server.samples import Samples

SHARED_BYTES = 4 * 1024 * 1024
"""Twice 47 s of an engine's usual 22.05 kHz: a passage, also a slow one. Pages that were never used cost nothing."""
SAMPLE_BYTES = 2


class SharedBuffer:
    """The parent's end. `descriptor` is for the worker: close it with `shared` once that one has it."""

    def __init__(self) -> None:
        """Raises OSError where the system has no such memory."""
        if not hasattr(os, "memfd_create"):
            raise OSError("this system has no memory without a name")
        self.descriptor = os.memfd_create("tts-sound")
        try:
            os.ftruncate(self.descriptor, SHARED_BYTES)
            self._memory = mmap.mmap(self.descriptor, SHARED_BYTES, prot=mmap.PROT_READ)
        except BaseException:
            self.shared()
            raise

    def shared(self) -> None:
        """The worker has it. Safe to call twice."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def at(self, start: int, size: int) -> memoryview:
        """The bytes there, until the worker is asked for something else.

        Raises `BrokenFrame` for what lies outside, `PipeEnded` once it is closed.
        """
        if not 0 < size <= SHARED_BYTES - start:
            raise BrokenFrame(f"{size} bytes at {start} are outside of the shared memory")
        if self._memory.closed:
            raise PipeEnded
        return memoryview(self._memory)[start : start + size]

    def close(self) -> None:
        """Nobody takes sound any more. Safe to call twice."""
        with suppress(BufferError):  # somebody does at this moment: it goes with what he has of it
            self._memory.close()


class SharedBufferWriter:
    """The worker's end."""

    def __init__(self, descriptor: int) -> None:
        """Takes `descriptor`; a negative one is no room at all."""
        self._samples: Samples = np.zeros(0, "<i2")
        self._next, self._end = 0, 0
        """Of the half that is being filled, what is left."""
        if descriptor < 0:
            return
        with suppress(OSError, ValueError):
            self._samples = np.frombuffer(mmap.mmap(descriptor, SHARED_BYTES), "<i2")
        os.close(descriptor)

    def turn(self) -> None:
        """The next utterance: the parent wants nothing any more of the one before the last."""
        half = self._samples.size // 2
        self._next, self._end = (half, 2 * half) if self._end == half else (0, half)

    def put(self, samples: Samples) -> tuple[int, int] | None:
        """Where its bytes lie now, and how many they are; None where there is no room left for them."""
        start, end = self._next, self._next + samples.size
        if end > self._end:
            return None
        self._samples[start:end] = samples
        self._next = end
        return start * SAMPLE_BYTES, samples.size * SAMPLE_BYTES
