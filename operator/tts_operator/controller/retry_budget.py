"""Limits how many failed keys are tried again per second, over all of them: an API server in need gets no storm."""


class RetryBudget:
    """A bucket of retries that fills steadily. The time is an argument, in seconds of any monotonic clock."""

    def __init__(self, per_second: float = 10.0, burst: int = 100) -> None:
        """`burst`: retries that are possible at once."""
        self._per_second = per_second
        self._burst = burst
        self._next_at = float("-inf")
        """Time at which a full bucket would have been emptied down to what is left now, and then some."""

    def wait_seconds(self, now: float) -> float:
        """Take one retry. Returns how long it must wait."""
        self._next_at = max(self._next_at, now - self._burst / self._per_second) + 1 / self._per_second
        return max(self._next_at - now, 0.0)
