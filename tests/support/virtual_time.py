"""An event loop whose time is a number: an hour's sleep takes no time, and no test sleeps for luck."""

from __future__ import annotations

import asyncio
import selectors
from datetime import UTC, datetime, timedelta
from typing import Any

BEGINNING = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class _NothingToWaitFor(selectors.DefaultSelector):
    """Instead of sleeping until the next timer, moves the loop's time there."""

    loop: VirtualTimeLoop

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        if timeout is None and not events:
            raise AssertionError("everything waits for something that no timer will bring")
        if not events:
            self.loop.elapsed_seconds += timeout or 0.0
        return events


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Starts at zero; moves only when everything waits."""

    def __init__(self) -> None:
        self.elapsed_seconds = 0.0
        selector = _NothingToWaitFor()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.elapsed_seconds


class VirtualClock:
    """The wall clock and the monotonic clock of the running virtual loop; the wall clock can be set."""

    def __init__(self) -> None:
        self.wall_offset = timedelta()

    def now(self) -> datetime:
        return BEGINNING + timedelta(seconds=self.monotonic()) + self.wall_offset

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()
