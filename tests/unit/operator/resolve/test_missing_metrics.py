"""An HPA that cannot read its metric: after ten minutes replicas follow the calendar alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.support.operator_builders import DAY, NOON, child, observe, planned, resolved, settle, stamp
from tests.support.resources import Object
from tts_operator.calendar.bounds import Bounds
from tts_operator.resolve.missing_metrics import MissingMetrics, missing_metrics

MINUTE = timedelta(minutes=1)
BOUNDS = Bounds(3, 6)


def blind(since: datetime, reason: str = "FailedGetResourceMetric", status: str = "False") -> list[Object]:
    """The children of a tenant whose HPA says since when it reads no metric."""
    children = settle(observe(schedule=DAY))
    condition = {"type": "ScalingActive", "status": status, "reason": reason, "lastTransitionTime": stamp(since)}
    child(children, "HorizontalPodAutoscaler", "acme-espeak")["status"] = {"conditions": [condition]}
    return children


def pinned(children: list[Object], bounds: Bounds = BOUNDS, now: datetime = NOON) -> MissingMetrics:
    return missing_metrics(observe(children=children, schedule=DAY), "acme-espeak", bounds, now)


def test_for_ten_minutes_it_is_too_early_to_tell() -> None:
    assert pinned(blind(NOON - 9 * MINUTE)) == MissingMetrics(BOUNDS, requeue_at=NOON + MINUTE)


def test_then_max_is_held_at_min() -> None:
    assert pinned(blind(NOON - 10 * MINUTE)) == MissingMetrics(Bounds(3, 3), pinned=True)
    children = blind(NOON - 10 * MINUTE)
    assert planned(observe(children=children, schedule=DAY)) == [
        "apply cm/acme-espeak-server: server.json changed",
        "apply hpa/acme-espeak: max 6 -> 3",
    ]


def test_metrics_that_come_back_end_it() -> None:
    assert pinned(blind(NOON - 10 * MINUTE, "ValidMetricFound", "True")) == MissingMetrics(BOUNDS)


def test_an_autoscaler_at_zero_is_not_blind() -> None:
    assert pinned(blind(NOON - 10 * MINUTE, "ScalingDisabled")) == MissingMetrics(BOUNDS)


def test_fixed_bounds_need_no_metrics() -> None:
    assert pinned(blind(NOON - 10 * MINUTE), Bounds(2, 2)) == MissingMetrics(Bounds(2, 2))


def test_a_window_that_just_opened_gets_its_ten_minutes_too() -> None:
    window = {"name": "noon", "start": "11:55", "end": "14:00", "minReplicas": 2, "maxReplicas": 8}
    schedule = {**DAY, "windows": [window]}
    observed = observe(children=blind(NOON - timedelta(hours=3)), schedule=schedule)
    assert resolved(observed).requeue_at == datetime(2026, 11, 4, 12, 5, tzinfo=UTC)
    assert resolved(observed).pools[0].bounds == Bounds(2, 8)
    assert resolved(observed, NOON + 5 * MINUTE).pools[0].bounds == Bounds(2, 2)
