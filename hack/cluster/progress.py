"""Prints each long step, its expected duration, and how long it took. Steps may run at the same time."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

SILENCE_SECONDS = 30.0
"""Interval at which a step prints its progress if the output is not a terminal."""
ERASE_LINE_ABOVE = "\x1b[1A\x1b[2K"


def say(message: str) -> None:
    """Print one line at once, even into a pipe."""
    _output.line(message, author=None)


def about(seconds: float) -> str:
    """Duration for people: seconds, or minutes if it is more than two."""
    return f"about {seconds:.0f} s" if seconds <= 120 else f"about {seconds / 60:.0f} minutes"


@contextmanager
def step(what: str, expected_seconds: float | None = None) -> Iterator[None]:
    """Print that a step begins, that it is running, and how many seconds it took."""
    announcement = f"  {what}{f' ({about(expected_seconds)})' if expected_seconds else ''} ..."
    started, finished, author = time.monotonic(), threading.Event(), object()
    _output.line(announcement, author)

    def tick() -> None:
        while not finished.wait(1.0 if _output.terminal else SILENCE_SECONDS):
            _output.line(f"{announcement} {time.monotonic() - started:.0f} s", author, is_tick=True)

    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    outcome = "failed after"
    try:
        yield
        outcome = "done in"
    finally:
        finished.set()
        ticker.join()
        _output.line(f"  {what}: {outcome} {time.monotonic() - started:.1f} s", author)


@dataclass
class _Output:
    """Standard output. On a terminal, a step overwrites its own line while that is the last one."""

    terminal: bool = field(default_factory=sys.stdout.isatty)
    last_author: object | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def line(self, text: str, author: object | None, *, is_tick: bool = False) -> None:
        """Print a line. On a terminal, a tick that cannot overwrite its step's line is left out."""
        with self.lock:
            over = self.terminal and author is not None and self.last_author is author
            if is_tick and self.terminal and not over:
                return
            print(f"{ERASE_LINE_ABOVE if over else ''}{text}", flush=True)
            self.last_author = author


_output = _Output()
