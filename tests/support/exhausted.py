"""Resources of the system that are used up for a while, as under another process's load."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Descriptors:
    """Takes every file descriptor that is free, and those that become free, until it gives them back."""

    def __init__(self) -> None:
        self._taken: list[int] = []

    def take(self) -> None:
        """Leave none free."""
        try:
            while True:
                self._taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            return

    def give_back(self) -> None:
        """Close all that were taken."""
        while self._taken:
            os.close(self._taken.pop())


@contextmanager
def no_free_descriptor() -> Iterator[Descriptors]:
    """This process without a free file descriptor: opening and starting anything fails with EMFILE."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    descriptors = Descriptors()
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(highest + 16, soft), hard))
    descriptors.take()
    try:
        yield descriptors
    finally:
        descriptors.give_back()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
