"""Clocks, as arguments: tests replace them."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """A wall clock and a monotonic clock."""

    def now(self) -> datetime:
        """Current instant, aware and in UTC: for schedules and timestamps."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment, also while the process is stopped: for durations and deadlines."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()
