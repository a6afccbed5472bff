"""Time as an argument: what happens at night is tested by day."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Two times: one that people agree on, and one that nobody can set back."""

    def now(self) -> datetime:
        """The instant, aware and in UTC: for schedules and timestamps."""

    def monotonic(self) -> float:
        """Seconds since some moment: for durations and deadlines. It goes on while the process is stopped."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()
