"""Tunes glibc's malloc for audio: arrays of a sentence are allocated and freed a hundred times a second.

By default glibc returns blocks of this size to the kernel at once, and the kernel clears 64 pages for each new one: a
tenth of what eSpeak NG costs. Other C libraries are left as they are.
"""

import ctypes
from contextlib import suppress

# From malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8

KEPT_BYTES = 16 * 1024 * 1024
"""Free memory that the process keeps while it works."""
LEFT_BYTES = 1024 * 1024
"""Free memory that it keeps when it gives the rest back: resident memory is what its limit is compared with."""
LARGEST_BLOCK_BYTES = 4 * 1024 * 1024
"""Largest block that is kept; larger ones are returned at once."""


def give_back_freed_memory() -> None:
    """Return free memory to the kernel, also between used blocks. Takes milliseconds: call it off the event loop."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(LEFT_BYTES)


def share_one_heap() -> None:
    """Make all threads that are started from now on share one heap.

    By default each thread has its own, which never shrinks: a server's threads encode in turn, so that the heaps add up
    to several times what is in use, and grow for hours. Python's own objects are allocated elsewhere.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def keep_freed_memory() -> None:
    """Keep freed blocks in this process from now on."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
