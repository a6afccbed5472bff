"""The writes of a transition are computed before it is due."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.operator_builders import NOON, observe, resolved, settle
from tts_operator.scheduled_scaling.precompute import Requeue, next_requeue

EVENING = datetime(2026, 11, 4, 22, 0, tzinfo=UTC)
CALENDAR: dict[str, Any] = {
    "default": {"minReplicas": 3, "maxReplicas": 6},
    "windows": [{"name": "night", "start": "22:00", "end": "06:00", "minReplicas": 1, "maxReplicas": 2}],
}


def settled(*models: Any, **spec: Any) -> Requeue | None:
    """The next requeue of a tenant whose children all exist."""
    children = settle(observe(*models, **spec))
    return next_requeue(resolved(observe(*models, children=children, **spec)))


def test_the_move_is_the_write_that_the_reconcile_would_make_then() -> None:
    found = settled(schedule=CALENDAR)
    assert found is not None
    assert found.at == EVENING
    (move,) = found.precompute
    assert str(move) == "apply hpa/acme-espeak: min 3 -> 1, max 6 -> 2"
    children = settle(observe(schedule=CALENDAR))
    at_night = settle(observe(schedule=CALENDAR, children=children), EVENING)
    (autoscaler,) = (child for child in at_night if child["kind"] == "HorizontalPodAutoscaler")
    assert move.manifest.body["spec"] == autoscaler["spec"]
    assert move.manifest.body["metadata"]["ownerReferences"] == autoscaler["metadata"]["ownerReferences"]


def test_the_bounds_of_models_after_the_first_move_in_the_same_second() -> None:
    member = {"name": "piper", "minReplicas": 2, "windows": [{"name": "night", "minReplicas": 1}]}
    found = settled("espeak", member, schedule=CALENDAR)
    assert found is not None
    assert (found.at, found.transition) == (EVENING, True)
    assert [str(move) for move in found.precompute] == [
        "apply hpa/acme-espeak: min 3 -> 1, max 6 -> 2",
        "apply hpa/acme-piper: min 2 -> 1, max 2 -> 1",
    ]


def test_it_is_for_the_object_that_was_seen() -> None:
    """So a tenant that was deleted meanwhile, or a namesake of it, gets nothing."""
    found = settled(schedule=CALENDAR)
    (autoscaler,) = (
        child for child in settle(observe(schedule=CALENDAR)) if child["kind"] == "HorizontalPodAutoscaler"
    )
    assert found is not None
    assert found.precompute[0].manifest.body["metadata"]["uid"] == autoscaler["metadata"]["uid"]


@pytest.mark.parametrize(
    ("spec", "at"),
    [
        pytest.param({}, None, id="nothing is due where the bounds never change"),
        pytest.param(
            {"schedule": {**CALENDAR, "windows": [{**CALENDAR["windows"][0], "minReplicas": 3, "maxReplicas": 6}]}},
            EVENING,
            id="a window with the same bounds moves nothing",
        ),
    ],
)
def test_no_move(spec: dict[str, Any], at: datetime | None) -> None:
    found = settled(**spec)
    assert (found and found.at) == at
    assert found is None or found.precompute == ()


def test_an_autoscaler_that_is_not_there_yet_has_no_move() -> None:
    assert next_requeue(resolved(observe(schedule=CALENDAR))) == Requeue(EVENING, transition=True)


def test_what_is_due_before_the_transition_moves_nothing() -> None:
    """The reconcile of that moment works the transition out again."""
    children = settle(observe(schedule=CALENDAR))
    found = resolved(observe(schedule=CALENDAR, children=children))
    earlier = replace(found, requeue_at=EVENING - timedelta(seconds=1))
    assert next_requeue(earlier) == Requeue(EVENING - timedelta(seconds=1))


def test_each_pool_with_bounds_of_its_own_stays_as_it_is() -> None:
    found = settled("espeak", {"name": "bass", "minReplicas": 2}, schedule=CALENDAR)
    assert found is not None
    assert [str(move.ref) for move in found.precompute] == ["hpa/acme-espeak"]
    assert found.at > NOON


def test_a_pre_warming_is_prepared_like_a_transition() -> None:
    """NOON is in the night of this calendar."""
    window = {"name": "evening", "start": "20:00", "end": "23:00", "minReplicas": 5, "maxReplicas": 9}
    found = settled(schedule={**CALENDAR, "windows": [window], "preWarmSeconds": 300})
    assert found is not None
    assert (found.at, found.transition) == (datetime(2026, 11, 4, 19, 55, tzinfo=UTC), True)
    (move,) = found.precompute
    assert str(move) == "apply hpa/acme-espeak: min 3 -> 5"
