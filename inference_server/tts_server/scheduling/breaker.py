"""Whether an engine is worth a try: a state machine on a clock that is given. It waits for nothing and calls nobody.

closed -- `failures_to_open` failures in a row --> open -- `open_seconds` --> half-open: one probe at a time
  ^                                                 ^                              |
  |                                                 +---- the probe failed: twice as long, up to a limit
  +------------------------------- the probe spoke to its end ---------------------+
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

Now = Callable[[], float]
"""A monotonic clock, in seconds."""


class State(Enum):
    """The value is the metric's."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """When a breaker opens, and for how long."""

    failures_to_open: int = 3
    """In a row: one is an accident, and a text that its engine cannot bear comes back with the client's retry."""
    open_seconds: float = 5.0
    longest_open_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Permit:
    """One attempt. What it came to counts only in the period in which it began."""

    period: int
    probe: bool


class Breaker:
    """Of one engine."""

    def __init__(self, now: Now, limits: Limits | None = None) -> None:
        self._now = now
        self._limits = limits or Limits()
        self._failures = 0
        self._period = 0
        """Grows with every change of state, so that an attempt of an earlier one is recognised."""
        self._open_until: float | None = None
        """None while closed."""
        self._open_seconds = self._limits.open_seconds
        self._probing = False

    @property
    def state(self) -> State:
        """At this moment: an open one is half-open as soon as its time is over."""
        if self._open_until is None:
            return State.CLOSED
        return State.OPEN if self._now() < self._open_until else State.HALF_OPEN

    @property
    def allows(self) -> bool:
        """Whether an attempt would get a permit now."""
        state = self.state
        return state is State.CLOSED or (state is State.HALF_OPEN and not self._probing)

    def permit(self) -> Permit | None:
        """Begin an attempt; None where it may not be made. Each permit ends in exactly one of the calls below."""
        if not self.allows:
            return None
        probe = self.state is State.HALF_OPEN
        self._probing = probe
        return Permit(self._period, probe)

    def succeeded(self, permit: Permit) -> None:
        """The attempt came to its end."""
        if permit.period != self._period:
            return
        self._failures = 0
        if permit.probe:
            self._open_until = None
            self._open_seconds = self._limits.open_seconds
            self._next_period()

    def failed(self, permit: Permit) -> bool:
        """The attempt failed. Whether the breaker opened by it."""
        if permit.period != self._period:
            return False
        self._failures += 1
        if permit.probe:
            self._open_seconds = min(2 * self._open_seconds, self._limits.longest_open_seconds)
        elif self._failures < self._limits.failures_to_open:
            return False
        self._open_until = self._now() + self._open_seconds
        self._next_period()
        return True

    def abandoned(self, permit: Permit) -> None:
        """Its listener left: nothing is known. Another probe may be made at once."""
        if permit.probe and permit.period == self._period:
            self._probing = False

    def _next_period(self) -> None:
        self._period += 1
        self._failures = 0
        self._probing = False
