"""Says what a long step is, how long it should take, and how long it took."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SILENCE_SECONDS = 30.0
"""Without a terminal, a step says that it is still alive this often."""


def say(message: str) -> None:
    """One line for the developer, at once even into a pipe."""
    print(message, flush=True)


@contextmanager
def step(what: str, expected_seconds: float | None = None) -> Iterator[None]:
    """Announce a step, show that it lives, and close its line with the seconds it took."""
    expectation = f" (about {expected_seconds:.0f} s)" if expected_seconds else ""
    started = time.monotonic()
    finished = threading.Event()
    terminal = sys.stdout.isatty()
    say(f"  {what}{expectation} ...")
    ticker = threading.Thread(target=_tick, args=(what, expectation, started, finished, terminal), daemon=True)
    ticker.start()
    outcome = "failed after"
    try:
        yield
        outcome = "done in"
    finally:
        finished.set()
        ticker.join()
        erase = "\x1b[1A\x1b[2K" if terminal else ""
        say(f"{erase}  {what}: {outcome} {time.monotonic() - started:.1f} s")


def _tick(what: str, expectation: str, started: float, finished: threading.Event, terminal: bool) -> None:
    while not finished.wait(1.0 if terminal else SILENCE_SECONDS):
        erase = "\x1b[1A\x1b[2K" if terminal else ""
        say(f"{erase}  {what}{expectation} ... {time.monotonic() - started:.0f} s")
