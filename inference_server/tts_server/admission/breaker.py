"""When to stop asking a store that does not answer, and when to ask it again.

closed --a call fails--> open --the wait is over--> half open (one probe) --it succeeds--> closed
                          ^------------------------------ it fails: a longer wait ----'
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 2.0


class State(Enum):
    """Of a breaker."""

    CLOSED = auto()
    OPEN = auto()
    HALF_OPEN = auto()


@dataclass(slots=True)
class Breaker:
    """One failure opens it: a request that waits for a lost store waits too long already."""

    monotonic: Callable[[], float]
    state: State = State.CLOSED
    _wait_seconds: float = field(default=FIRST_WAIT_SECONDS, init=False)
    _probe_at: float = field(default=0.0, init=False)

    @property
    def is_closed(self) -> bool:
        """Calls may be made."""
        return self.state is State.CLOSED

    def fail(self) -> None:
        """A call failed, or the probe did."""
        if self.state is State.OPEN:
            return  # others were under way when the first one failed
        if self.state is State.HALF_OPEN:
            self._wait_seconds = min(2 * self._wait_seconds, LONGEST_WAIT_SECONDS)
        self.state = State.OPEN
        self._probe_at = self.monotonic() + self._wait_seconds

    def may_probe(self) -> bool:
        """True for the one call that tries whether the store is back."""
        if self.state is not State.OPEN or self.monotonic() < self._probe_at:
            return False
        self.state = State.HALF_OPEN
        return True

    def succeed(self) -> None:
        """The probe was answered."""
        self.state = State.CLOSED
        self._wait_seconds = FIRST_WAIT_SECONDS
