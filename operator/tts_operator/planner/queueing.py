"""Simulates the queue of a pool: requests arrive at random, and each waits for a free engine process.

A discrete-event simulation of a G/G/c queue in its order of arrival: Poisson arrivals, log-normal service times, `c`
processes. One tenant's requests leave the fair queue in order of arrival, so that this is what its callers see. Replies
from the cache take no process. A steady state is simulated: the bounds hold for hours, the queue settles in seconds.
"""

from __future__ import annotations

import heapq
import math
import random
from dataclasses import dataclass
from functools import lru_cache

REQUESTS = 10_000
"""Requests of one simulation: five hundred of them are beyond its P95."""
WARM_UP = 1_000
"""First requests, which meet an empty queue and are left out."""
SEED = 7
"""Seed of the simulation: a question asked twice has one answer."""
OVERLOADED = math.inf


@dataclass(frozen=True, slots=True)
class Replica:
    """The speed of one replica, as it was measured."""

    requests_per_second: float
    """Requests that it serves in a second when it is never idle."""
    processes: int
    """Engine processes: as many requests are synthesized at the same time."""

    @property
    def mean_service_seconds(self) -> float:
        """Mean time that a request keeps a process busy."""
        return self.processes / self.requests_per_second


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests of callers, apart from how many there are."""

    cache_ratio: float = 0.0
    """Fraction of requests, 0 to 1, that the cache answers."""
    service_variation: float = 0.8
    """Standard deviation of the service times, relative to their mean: texts differ in length."""


@lru_cache(maxsize=1024)
def p95_seconds(requests_per_second: float, replicas: int, replica: Replica, workload: Workload) -> float:
    """P95 of the time from a request's arrival to its end, over all requests; `OVERLOADED` if the queue never ends."""
    synthesized_per_second = requests_per_second * (1 - workload.cache_ratio)
    if synthesized_per_second >= replicas * replica.requests_per_second and synthesized_per_second > 0:
        return OVERLOADED
    # Requests from the cache end at once: the P95 of all is a lower quantile of those that are synthesized.
    quantile = 1 - 0.05 / (1 - workload.cache_ratio) if workload.cache_ratio < 0.95 else 0.0
    if synthesized_per_second == 0 or quantile <= 0:
        return 0.0
    return _quantile(
        _response_seconds(synthesized_per_second, replicas * replica.processes, replica, workload), quantile
    )


def replicas_needed(
    requests_per_second: float, replica: Replica, workload: Workload, target_seconds: float, most: int
) -> int | None:
    """Fewest replicas, at least 1, that keep the P95 within the target; None if `most` do not."""
    if p95_seconds(requests_per_second, most, replica, workload) > target_seconds:
        return None
    low = int(requests_per_second * (1 - workload.cache_ratio) / replica.requests_per_second) + 1  # fewer never end
    high, step = low, 1
    while high <= most and p95_seconds(requests_per_second, high, replica, workload) > target_seconds:
        low, high, step = high + 1, high + step, 2 * step
    high = min(high, most)
    while low < high:
        middle = (low + high) // 2
        if p95_seconds(requests_per_second, middle, replica, workload) <= target_seconds:
            high = middle
        else:
            low = middle + 1
    return low


def _response_seconds(arrivals_per_second: float, processes: int, replica: Replica, workload: Workload) -> list[float]:
    """Response times of the requests that are synthesized, after the warm-up."""
    randomness = random.Random(SEED)  # noqa: S311 - a simulation
    sigma = math.sqrt(math.log1p(workload.service_variation**2))
    mu = math.log(replica.mean_service_seconds) - sigma**2 / 2
    free_at = [0.0] * processes
    now, seconds = 0.0, []
    for number in range(WARM_UP + REQUESTS):
        now += randomness.expovariate(arrivals_per_second)
        ends = max(now, free_at[0]) + randomness.lognormvariate(mu, sigma)
        heapq.heapreplace(free_at, ends)
        if number >= WARM_UP:
            seconds.append(ends - now)
    return seconds


def _quantile(values: list[float], quantile: float) -> float:
    return sorted(values)[min(int(quantile * len(values)), len(values) - 1)]
