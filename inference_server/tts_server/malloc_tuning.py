"""Memory for sound: arrays of a sentence come and go a hundred times a second, and are best kept at hand.

glibc returns blocks of this size to the kernel at once, and each one that comes back is 64 pages to clear: a tenth of
what eSpeak NG costs. Other C libraries have their own ways, and are left alone.
"""

import ctypes
from contextlib import suppress

# From malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8

KEPT_BYTES = 16 * 1024 * 1024
"""Free memory that stays with the process: counted in what its watchdog sees."""
LARGEST_BLOCK_BYTES = 4 * 1024 * 1024
"""Larger ones still go back at once."""


def give_back_freed_memory() -> None:
    """What is free between blocks in use, which a heap keeps for good: milliseconds, so not on the event loop."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(KEPT_BYTES)


def share_one_heap() -> None:
    """For all threads of this process that are yet to come, from now on.

    By default each has a heap of its own, which keeps what it ever needed at most: a server's threads encode in turn,
    so those heaps add up to several times what is in use, and grow for hours. Python's own objects come from elsewhere.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def keep_freed_memory() -> None:
    """For this process, from now on."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
