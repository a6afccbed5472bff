"""Circuit breaker: a state machine that decides whether an operation that may fail is attempted. It does no I/O.

An engine, an object store, a cache, the shared counters: each has its own breaker, so that one request waits for its
failure, and not every one.

closed -- `failures_to_open` failures in a row --> open -- `open_seconds` --> half-open: one probe at a time
  ^                                                 ^                              |
  |                                                 +---- the probe failed: twice as long, up to a limit
  +------------------------------- the probe succeeded ---------------------+
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

Now = Callable[[], float]
"""A monotonic clock, in seconds."""


class State(Enum):
    """State of a breaker. The value is that of the metric."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """Thresholds of a breaker. The defaults are those of an engine."""

    failures_to_open: int = 3
    """Consecutive failures that open it: one may be an accident, two a text that crashes the engine and its retry."""
    open_seconds: float = 5.0
    longest_open_seconds: float = 60.0
    probe_seconds: float = math.inf
    """Duration of a probe after which another one is permitted."""


SERVICE = BreakerSettings(failures_to_open=1, open_seconds=5.0, longest_open_seconds=5.0, probe_seconds=5.0)
"""Settings for a service that the server can do without: one request has waited for it, and that is enough."""


@dataclass(frozen=True, slots=True)
class Permit:
    """Permission for one attempt. Its result counts only in the period in which it began."""

    period: int
    probe: bool


class Breaker:
    """A circuit breaker. Its state may be read in any thread."""

    def __init__(self, now: Now = time.monotonic, limits: BreakerSettings | None = None) -> None:
        self._now = now
        self._limits = limits or BreakerSettings()
        self._failures = 0
        self._period = 0
        """Grows with every change of state, to recognize results of earlier attempts."""
        self._open_until: float | None = None
        """End of the open state; None while closed."""
        self._open_seconds = self._limits.open_seconds
        self._probe_until: float | None = None
        """End of the running probe's time; None without a probe."""

    @property
    def state(self) -> State:
        """The current state: an open breaker becomes half-open when its time is over."""
        until = self._open_until
        if until is None:
            return State.CLOSED
        return State.OPEN if self._now() < until else State.HALF_OPEN

    @property
    def allows(self) -> bool:
        """Whether `permit` would return a permit now."""
        state = self.state
        return state is State.CLOSED or (state is State.HALF_OPEN and not self._is_probing)

    def permit(self) -> Permit | None:
        """Begin an attempt; None if it must not be made. Each permit ends in exactly one of the calls below."""
        if not self.allows:
            return None
        probe = self.state is State.HALF_OPEN
        if probe:
            self._probe_until = self._now() + self._limits.probe_seconds
        return Permit(self._period, probe)

    def succeeded(self, permit: Permit) -> None:
        """Record success."""
        if permit.period != self._period:
            return
        self._failures = 0
        if permit.probe:
            self._open_until = None
            self._open_seconds = self._limits.open_seconds
            self._next_period()

    def failed(self, permit: Permit) -> bool:
        """Record failure. Returns whether it opened the breaker."""
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
        """Record an attempt without a result, because its client left. Another probe may begin at once."""
        if permit.probe and permit.period == self._period:
            self._probe_until = None

    @property
    def _is_probing(self) -> bool:
        return self._probe_until is not None and self._now() < self._probe_until

    def _next_period(self) -> None:
        self._period += 1
        self._failures = 0
        self._probe_until = None
