"""Whether a thing that may fail is worth a try: a state machine on a clock that is given. It calls nobody.

An engine, an object store, a cache, the shared counters: each has a breaker of its own, so that those who need it wait
for its failure once, and not each of them.

closed -- `failures_to_open` failures in a row --> open -- `open_seconds` --> half-open: one probe at a time
  ^                                                 ^                              |
  |                                                 +---- the probe failed: twice as long, up to a limit
  +------------------------------- the probe came to its end ---------------------+
"""

import math
import time
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
class BreakerSettings:
    """When a breaker opens, and for how long. The defaults are an engine's."""

    failures_to_open: int = 3
    """In a row: of an engine one is an accident, and a text that it cannot bear comes back with the client's retry."""
    open_seconds: float = 5.0
    longest_open_seconds: float = 60.0
    probe_seconds: float = math.inf
    """What a probe may take before another one is let through beside it."""


SERVICE = BreakerSettings(failures_to_open=1, open_seconds=5.0, longest_open_seconds=5.0, probe_seconds=5.0)
"""Of a service beside the server that can be done without: one caller has waited for it, and that is enough."""


@dataclass(frozen=True, slots=True)
class Permit:
    """One attempt. What it came to counts only in the period in which it began."""

    period: int
    probe: bool


class Breaker:
    """Of one thing. Its state may be read in any thread."""

    def __init__(self, now: Now = time.monotonic, limits: BreakerSettings | None = None) -> None:
        self._now = now
        self._limits = limits or BreakerSettings()
        self._failures = 0
        self._period = 0
        """Grows with every change of state, so that an attempt of an earlier one is recognised."""
        self._open_until: float | None = None
        """None while closed."""
        self._open_seconds = self._limits.open_seconds
        self._probe_until: float | None = None
        """None while nobody probes."""

    @property
    def state(self) -> State:
        """At this moment: an open one is half-open as soon as its time is over."""
        until = self._open_until
        if until is None:
            return State.CLOSED
        return State.OPEN if self._now() < until else State.HALF_OPEN

    @property
    def allows(self) -> bool:
        """Whether an attempt would get a permit now."""
        state = self.state
        return state is State.CLOSED or (state is State.HALF_OPEN and not self._is_probing)

    def permit(self) -> Permit | None:
        """Begin an attempt; None where it may not be made. Each permit ends in exactly one of the calls below."""
        if not self.allows:
            return None
        probe = self.state is State.HALF_OPEN
        if probe:
            self._probe_until = self._now() + self._limits.probe_seconds
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
        """Whoever made it has left: nothing is known. Another probe may be made at once."""
        if permit.probe and permit.period == self._period:
            self._probe_until = None

    @property
    def _is_probing(self) -> bool:
        return self._probe_until is not None and self._now() < self._probe_until

    def _next_period(self) -> None:
        self._period += 1
        self._failures = 0
        self._probe_until = None
