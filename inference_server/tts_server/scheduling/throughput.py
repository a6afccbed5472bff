"""Estimates an engine's throughput from finished utterances, to predict waits. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

LATEST_WEIGHT = 0.2
"""Weight of the latest measurement in the moving average: about the last ten utterances decide."""


class ThroughputEstimator:
    """Seconds of an engine's time per unit of cost, as an exponentially weighted moving average.

    `expected` is a value for the time until the first measurement; 0 if there is none.
    """

    def __init__(self, expected: float = 0.0) -> None:
        self._expected = expected
        self._seconds_per_cost: float | None = None

    @property
    def known(self) -> bool:
        """Whether anything was measured yet."""
        return self._seconds_per_cost is not None

    @property
    def seconds_per_cost(self) -> float:
        """The average, else what was expected; 0 if neither is known."""
        return self._expected if self._seconds_per_cost is None else self._seconds_per_cost

    def observe(self, cost: float, seconds: float) -> None:
        """Record a measurement: cost and duration."""
        latest = seconds / cost
        average = self._seconds_per_cost
        self._seconds_per_cost = latest if average is None else average + LATEST_WEIGHT * (latest - average)

    def wait_seconds(self, cost: float, workers: int) -> float:
        """Predict how long `workers` in parallel take for `cost`; 0 if nothing is known yet."""
        return cost * self.seconds_per_cost / max(1, workers)

    def rest_seconds(self, running: Iterable["Running"], now: float) -> float:
        """Predict how much longer running utterances take, all together.

        One that is overdue by some time is expected to take as long again: the later it is, the less the average says.
        """
        return sum(abs(one.cost * self.seconds_per_cost - (now - one.begun)) for one in running)


@dataclass(frozen=True, slots=True, eq=False)
class Running:
    """An utterance that runs since `begun`, an instant of the caller's clock."""

    cost: float
    begun: float
