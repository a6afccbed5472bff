"""Standard output whose reader may exit early, as `head` does."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reader_may_exit() -> Iterator[None]:
    """Flush what is printed within. If nobody reads it any more, raise SystemExit with 1, without a traceback."""
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:  # None if the file descriptor is closed
                sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes again at exit
        raise SystemExit(1) from None
