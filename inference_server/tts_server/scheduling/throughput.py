"""How fast an engine speaks, from what it has spoken: what a wait will be. Pure."""

WEIGHT_OF_THE_LATEST = 0.2
"""Of the moving average: the last ten or so utterances decide."""


class ThroughputEstimator:
    """Seconds of an engine's time per unit of cost, as an exponentially weighted moving average."""

    def __init__(self) -> None:
        self._seconds_per_cost: float | None = None

    @property
    def known(self) -> bool:
        """Whether anything was learnt yet."""
        return self._seconds_per_cost is not None

    def observe(self, cost: float, seconds: float) -> None:
        """So much took so long."""
        latest = seconds / cost
        known = self._seconds_per_cost
        self._seconds_per_cost = latest if known is None else known + WEIGHT_OF_THE_LATEST * (latest - known)

    def wait_seconds(self, cost: float, engines: int) -> float:
        """What `engines` side by side take for so much; 0 as long as nothing is known."""
        return cost * (self._seconds_per_cost or 0.0) / max(1, engines)
