"""A breaker around a service that may be away: its callers wait for it once, not each of them."""

import time
from collections.abc import Callable

PAUSE_SECONDS = 5.0


class Breaker:
    """One failure opens it. After the pause one call is let through; what becomes of that one decides.

        closed --failed--> open --pause over--> one call tries --succeeded--> closed
                            ^                                 --failed-----> open

    A try that never reports back costs one more pause, no more.
    """

    def __init__(self, pause_seconds: float = PAUSE_SECONDS, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._pause_seconds = pause_seconds
        self._monotonic = monotonic
        self._next_try: float | None = None
        """None while it is closed."""

    @property
    def closed(self) -> bool:
        """Whether the last that was heard of the service was good."""
        return self._next_try is None

    def admits(self) -> bool:
        """Whether to make a call now. True must be followed by the call."""
        if self._next_try is None:
            return True
        now = self._monotonic()
        if now < self._next_try:
            return False
        self._next_try = now + self._pause_seconds  # nobody else tries meanwhile
        return True

    def succeeded(self) -> None:
        """The service answered."""
        self._next_try = None

    def failed(self) -> None:
        """It did not, or not in time."""
        self._next_try = self._monotonic() + self._pause_seconds
