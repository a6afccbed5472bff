"""Zero replicas by the calendar, and the wake that interrupts them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tts_operator.api import Schedule
from tts_operator.calendar.bounds import Bounds, Change, State
from tts_operator.calendar.calendar import next_change, state_at
from tts_operator.calendar.pre_warm import pre_warm
from tts_operator.calendar.zero import AWAKE, Awake, awake, has_zero, wakes_at

NIGHT = {"name": "night", "start": "00:00", "end": "06:00", "minReplicas": 0}
AT_TWO = datetime(2026, 11, 5, 2, 0, tzinfo=UTC)
AT_SIX = datetime(2026, 11, 5, 6, 0, tzinfo=UTC)


def schedule(**fields: Any) -> Schedule:
    return Schedule.model_validate({"default": {"minReplicas": 3}, "windows": [NIGHT], **fields})


def seen(given: Schedule, requested_at: datetime | None, now: datetime = AT_TWO, lead: int = 0) -> Awake:
    scheduled = Awake(state_at(given, now), next_change(given, now), pre_warm(given, now, lead, 1000))
    return awake(given, scheduled, requested_at, now)


@pytest.mark.parametrize(
    ("given", "zero"),
    [
        (schedule(), True),
        (schedule(windows=[]), False),
        (schedule(windows=[], default={"minReplicas": 0}), True),
        (schedule(windows=[], override={"until": "2026-12-01T00:00:00Z", "minReplicas": 0}), True),
        (Schedule.model_validate({"preset": "DayNightWeekend"}), False),
        (None, False),
    ],
)
def test_a_schedule_has_a_zero_if_any_part_of_it_does(given: Schedule | None, zero: bool) -> None:
    assert has_zero(given) is zero


def test_zero_ends_with_the_next_window_that_has_replicas() -> None:
    evening = {"name": "evening", "start": "22:00", "end": "24:00", "minReplicas": 0}
    given = schedule(windows=[NIGHT, evening])
    assert wakes_at(given, datetime(2026, 11, 4, 23, 0, tzinfo=UTC)) == AT_SIX, "through both windows"
    assert wakes_at(schedule(windows=[], default={"minReplicas": 0}), AT_TWO) is None


def test_a_request_wakes_one_replica_until_its_time_is_over() -> None:
    given = schedule(wakeOnRequest=True, wakeSeconds=600)
    found = seen(given, AT_TWO - timedelta(minutes=1))
    ends_at = AT_TWO + timedelta(minutes=9)
    assert found.window == State("wake", AWAKE)
    assert found.change == Change(ends_at, "night", Bounds(0, 0)), "then the zero applies again"
    assert found.warmed.bounds == Bounds(1, 1)
    assert found.ends_at == ends_at
    over = seen(given, AT_TWO - timedelta(minutes=1), now=ends_at)
    assert over.window == State("night", Bounds(0, 0))
    assert over.ends_at is None


def test_a_wake_ends_where_the_schedule_has_replicas_again() -> None:
    now = AT_SIX - timedelta(minutes=1)
    found = seen(schedule(wakeOnRequest=True), now - timedelta(seconds=5), now)
    assert found.change == Change(AT_SIX, "default", Bounds(3, 3))


def test_replicas_that_start_before_their_window_are_more_than_those_of_a_wake() -> None:
    now = AT_SIX - timedelta(seconds=30)
    assert seen(schedule(wakeOnRequest=True), now, now, lead=60).warmed.bounds == Bounds(3, 3)


@pytest.mark.parametrize(
    ("fields", "requested_at"),
    [
        ({}, AT_TWO),
        ({"wakeOnRequest": True}, None),
        ({"wakeOnRequest": True}, AT_TWO - timedelta(seconds=900)),
        ({"wakeOnRequest": True}, AT_TWO + timedelta(minutes=2)),
    ],
    ids=["not allowed", "never asked", "over", "from a clock that is wrong"],
)
def test_nothing_else_wakes(fields: dict[str, Any], requested_at: datetime | None) -> None:
    assert seen(schedule(**fields), requested_at).window == State("night", Bounds(0, 0))


def test_a_request_while_there_are_replicas_changes_nothing() -> None:
    noon = datetime(2026, 11, 5, 12, 0, tzinfo=UTC)
    assert seen(schedule(wakeOnRequest=True), noon, noon).window == State("default", Bounds(3, 3))
