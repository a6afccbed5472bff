"""The simulated queue agrees with queueing theory, and more never hurts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts_operator.planner.queueing import OVERLOADED, Replica, Workload, p95_seconds, replicas_needed


def erlang_c(offered: float, servers: int) -> float:
    """Probability that a request waits in an M/M/c queue (A. K. Erlang, 1917)."""
    below = sum(offered**k / math.factorial(k) for k in range(servers))
    waiting = offered**servers / math.factorial(servers) * servers / (servers - offered)
    return waiting / (below + waiting)


@pytest.mark.parametrize(("rate", "replicas", "processes"), [(7, 1, 1), (36, 3, 1), (50, 2, 4), (120, 5, 2)])
def test_waiting_follows_erlang_c(rate: float, replicas: int, processes: int) -> None:
    """With a coefficient of variation of 1, times are nearly exponential: Allen-Cunneen's correction is 1 then."""
    replica = Replica(requests_per_second=30, processes=processes)
    servers, service = replicas * processes, replica.mean_service_seconds
    waits = erlang_c(rate * service, servers)
    mean_wait = waits * service / (servers - rate * service)
    p95 = p95_seconds(rate, replicas, replica, Workload(service_variation=1.0))
    # The service alone has its P95 at exp(sigma * 1.645 - sigma^2 / 2) times its mean.
    sigma = math.sqrt(math.log(2))
    alone = service * math.exp(1.6449 * sigma - sigma**2 / 2)
    assert alone * 0.9 <= p95 <= alone + 6 * mean_wait + 0.15 * alone


def test_more_than_the_replicas_serve_never_ends() -> None:
    replica = Replica(15, 1)
    assert p95_seconds(45, 3, replica, Workload()) == OVERLOADED
    assert p95_seconds(44, 3, replica, Workload()) < OVERLOADED
    assert p95_seconds(1, 0, replica, Workload()) == OVERLOADED
    assert p95_seconds(0, 0, replica, Workload()) == 0


def test_the_cache_takes_its_share_away() -> None:
    replica = Replica(15, 1)
    assert p95_seconds(20, 1, replica, Workload()) == OVERLOADED
    assert p95_seconds(20, 1, replica, Workload(cache_ratio=0.4)) < 1.5
    assert p95_seconds(1e6, 1, replica, Workload(cache_ratio=1)) == 0
    # At 96 % hits fewer than 5 % of all requests are synthesized: the P95 is that of the cache.
    assert p95_seconds(100, 1, replica, Workload(cache_ratio=0.96)) == 0


@settings(max_examples=8)
@given(st.floats(0.5, 200), st.integers(1, 4), st.floats(5, 50))
def test_the_fewest_replicas_meet_the_target_and_one_less_does_not(rate: float, processes: int, speed: float) -> None:
    replica, target = Replica(speed, processes), 3.0
    needed = replicas_needed(rate, replica, Workload(), target, 100)
    assert needed is not None
    assert p95_seconds(rate, needed, replica, Workload()) <= target
    assert needed == 1 or p95_seconds(rate, needed - 1, replica, Workload()) > target


def test_where_no_number_helps_there_is_none() -> None:
    """A request alone takes longer than the target."""
    assert replicas_needed(1, Replica(0.1, 1), Workload(), 3.0, 50) is None
