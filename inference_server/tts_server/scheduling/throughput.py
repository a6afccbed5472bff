"""Estimates an engine's throughput from finished utterances, to predict waits. Pure."""

LATEST_WEIGHT = 0.2
"""Weight of the latest measurement in the moving average: about the last ten utterances decide."""


class ThroughputEstimator:
    """Seconds of an engine's time per unit of cost, as an exponentially weighted moving average."""

    def __init__(self) -> None:
        self._seconds_per_cost: float | None = None

    @property
    def known(self) -> bool:
        """Whether anything was measured yet."""
        return self._seconds_per_cost is not None

    def observe(self, cost: float, seconds: float) -> None:
        """Record a measurement: cost and duration."""
        latest = seconds / cost
        average = self._seconds_per_cost
        self._seconds_per_cost = latest if average is None else average + LATEST_WEIGHT * (latest - average)

    def wait_seconds(self, cost: float, workers: int) -> float:
        """Predict how long `workers` in parallel take for `cost`; 0 if nothing was measured yet."""
        return cost * (self._seconds_per_cost or 0.0) / max(1, workers)
