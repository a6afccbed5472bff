"""Cost and replicas of each tenant in the operator's metrics: the history of which bills are made."""

from __future__ import annotations

import pytest

from tts_operator.telemetry.metrics import Metrics

POOLS = [{"model": "espeak", "desired": 2}, {"model": "kokoro", "desired": 1}]
ACME = {"namespace": "team-acme", "tenant": "acme"}


@pytest.fixture
def metrics() -> Metrics:
    found = Metrics()
    found.bill("team-acme", "acme", {"pools": POOLS, "cost": {"hourly": "2.10"}})
    return found


def values(metrics: Metrics, **labels: str) -> tuple[float | None, float | None]:
    """Hourly cost and replicas; None without a series."""
    names = ("tts_operator_tenant_hourly_cost", "tts_operator_tenant_replicas")
    cost, replicas = (metrics.registry.get_sample_value(name, labels or ACME) for name in names)
    return cost, replicas


def test_a_tenant_has_its_cost_and_the_replicas_of_all_pools(metrics: Metrics) -> None:
    assert values(metrics) == (2.1, 3)


def test_a_tenant_whose_price_is_lost_has_no_cost_left(metrics: Metrics) -> None:
    metrics.bill("team-acme", "acme", {"pools": POOLS})
    assert values(metrics) == (None, 3)


def test_a_tenant_that_is_gone_costs_nothing(metrics: Metrics) -> None:
    metrics.bill("team-acme", "acme", None)
    metrics.bill("team-acme", "acme", None)
    assert values(metrics) == (None, None)


def test_a_full_list_removes_all_others(metrics: Metrics) -> None:
    metrics.bill("team-blue", "blue", {"pools": [], "cost": {"hourly": "0"}})
    metrics.bill_only([("team-blue", "blue")])
    assert values(metrics) == (None, None)
    assert values(metrics, namespace="team-blue", tenant="blue") == (0, 0)
