"""Memory that a worker and its parent share: samples are written there once, and no kernel copies them on their way.

A worker writes one utterance into one half, the next into the other, and announces each part in a frame; its parent
copies a part out when it is read. No lock is needed: a parent asks for an utterance only after it has read, or
cancelled, the one before the last. What does not fit goes through the pipe.
"""

import mmap
import os
from contextlib import suppress

import numpy as np

from tts_server.inference.wire.frames import BrokenFrame, PipeEnded
from tts_server.samples import Samples

SHARED_BYTES = 4 * 1024 * 1024
"""Twice 47 s at an engine's usual 22.05 kHz: a slow passage. Pages that were never used cost nothing."""
SAMPLE_BYTES = 2


class SharedBuffer:
    """The parent's end. `descriptor` is for the worker: call `close_descriptor` once the worker has inherited it."""

    def __init__(self) -> None:
        """Raises OSError if the system has no such memory."""
        if not hasattr(os, "memfd_create"):
            raise OSError("this system has no memfd_create")
        self.descriptor = os.memfd_create("tts-sound")
        try:
            os.ftruncate(self.descriptor, SHARED_BYTES)
            self._memory = mmap.mmap(self.descriptor, SHARED_BYTES, prot=mmap.PROT_READ)
        except BaseException:
            self.close_descriptor()
            raise

    def close_descriptor(self) -> None:
        """Close the descriptor; the mapping stays. Safe to call twice."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def read(self, start: int, size: int) -> memoryview:
        """Return a view of these bytes, valid until the worker is asked for another utterance.

        Raises `BrokenFrame` for a range outside the memory, `PipeEnded` once it is closed.
        """
        if not 0 < size <= SHARED_BYTES - start:
            raise BrokenFrame(f"{size} bytes at {start} are outside of the shared memory")
        if self._memory.closed:
            raise PipeEnded
        return memoryview(self._memory)[start : start + size]

    def close(self) -> None:
        """Unmap the memory. Safe to call twice."""
        with suppress(BufferError):  # a view is in use: the mapping goes with it
            self._memory.close()


class SharedBufferWriter:
    """The worker's end."""

    def __init__(self, descriptor: int) -> None:
        """Take over `descriptor`; a negative one means that there is no shared memory."""
        self._samples: Samples = np.zeros(0, "<i2")
        self._next, self._end = 0, 0
        """Free range of the half that is being filled, in samples."""
        if descriptor < 0:
            return
        with suppress(OSError, ValueError):
            self._samples = np.frombuffer(mmap.mmap(descriptor, SHARED_BYTES), "<i2")
        os.close(descriptor)

    def switch_half(self) -> None:
        """Begin the next utterance in the half that held the one before the last."""
        half = self._samples.size // 2
        self._next, self._end = (half, 2 * half) if self._end == half else (0, half)

    def write(self, samples: Samples) -> tuple[int, int] | None:
        """Copy samples into the half. Returns their start and size in bytes; None if there is no room."""
        start, end = self._next, self._next + samples.size
        if end > self._end:
            return None
        self._samples[start:end] = samples
        self._next = end
        return start * SAMPLE_BYTES, samples.size * SAMPLE_BYTES
