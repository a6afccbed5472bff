"""Replicas of a window are started some time before it opens, and never stopped early."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts_operator.api import Schedule
from tts_operator.calendar.bounds import Bounds
from tts_operator.calendar.calendar import next_change, state_at
from tts_operator.calendar.member_windows import MemberWindows
from tts_operator.calendar.pre_warm import pre_warm

MORNING = datetime(2026, 11, 4, 6, 0, tzinfo=UTC)
DAY: dict[str, Any] = {
    "default": {"minReplicas": 1, "maxReplicas": 2},
    "windows": [{"name": "day", "start": "06:00", "end": "22:00", "minReplicas": 3, "maxReplicas": 6}],
}


def schedule(**changed: Any) -> Schedule:
    return Schedule.model_validate({**DAY, **changed})


def test_the_minimum_rises_early_and_the_maximum_with_it() -> None:
    before = pre_warm(schedule(), MORNING - timedelta(seconds=121), 120, 1000)
    assert (before.bounds, before.window) == (Bounds(1, 2), None)
    assert before.changes_at == MORNING - timedelta(seconds=120)
    early = pre_warm(schedule(), MORNING - timedelta(seconds=120), 120, 1000)
    assert early.bounds == Bounds(3, 3)
    assert early.window is not None
    assert (early.window.at, early.window.window) == (MORNING, "day")
    assert pre_warm(schedule(), MORNING, 120, 1000).bounds == Bounds(3, 6)


def test_a_minimum_is_not_lowered_early() -> None:
    evening = MORNING.replace(hour=22)
    assert pre_warm(schedule(), evening - timedelta(seconds=1), 3600, 1000).bounds == Bounds(3, 6)
    assert pre_warm(schedule(), evening, 3600, 1000).bounds == Bounds(1, 2)


@pytest.mark.parametrize("lead", [0, 3600])
def test_without_a_schedule_or_a_lead_nothing_is_early(lead: int) -> None:
    assert pre_warm(None, MORNING, lead, 1000) == pre_warm(None, MORNING, 0, 1000)
    assert pre_warm(schedule(), MORNING - timedelta(seconds=1), 0, 1000).bounds == Bounds(1, 2)


def test_a_ceiling_holds_before_a_window_too() -> None:
    early = pre_warm(schedule(), MORNING - timedelta(seconds=60), 120, 2)
    assert early.bounds == Bounds(2, 2)


def test_a_short_window_before_does_not_delay_it() -> None:
    """The window of a minute begins after the pre-warming of the next one must have begun."""
    pause = {"name": "pause", "start": "05:58", "end": "06:00", "minReplicas": 1}
    spec = schedule(windows=[pause, *DAY["windows"]])
    assert pre_warm(spec, MORNING - timedelta(minutes=30), 600, 1000).changes_at == MORNING - timedelta(seconds=600)


minutes = st.integers(0, 1439).map(lambda minute: f"{minute // 60:02}:{minute % 60:02}")
windows = st.lists(
    st.tuples(minutes, minutes, st.integers(1, 5), st.integers(0, 3)).filter(lambda each: each[0] != each[1]),
    max_size=4,
).map(
    lambda drawn: [
        {"name": f"w{number}", "start": start, "end": end, "minReplicas": least, "maxReplicas": least + more}
        for number, (start, end, least, more) in enumerate(drawn)
    ]
)


@settings(max_examples=30)
@given(windows, st.integers(0, 1440), st.integers(0, 90), st.integers(1, 6))
def test_at_each_minute_the_minimum_is_the_highest_of_those_ahead(
    drawn: list[dict[str, Any]], offset: int, lead_minutes: int, most: int
) -> None:
    spec, now = schedule(windows=drawn), MORNING + timedelta(minutes=offset)
    ahead = [state_at(spec, now + timedelta(minutes=minute)).bounds.min_replicas for minute in range(lead_minutes + 1)]
    found = pre_warm(spec, now, lead_minutes * 60, most)
    assert found.bounds.min_replicas == min(max(ahead), most)
    assert found.bounds.max_replicas == max(
        min(state_at(spec, now).bounds.max_replicas, most), found.bounds.min_replicas
    )


@settings(max_examples=30)
@given(windows, st.integers(0, 1440), st.integers(0, 5400), st.integers(1, 6))
def test_between_two_instants_that_are_told_the_bounds_stay(
    drawn: list[dict[str, Any]], offset: int, lead_seconds: int, most: int
) -> None:
    spec, now = schedule(windows=drawn), MORNING + timedelta(minutes=offset)
    found = pre_warm(spec, now, lead_seconds, most)
    opens = next_change(spec, now)
    told = [each for each in (found.changes_at, opens and opens.at) if each]
    until = min(told, default=now + timedelta(days=1))
    for part in (0.25, 0.5, 0.999):
        assert pre_warm(spec, now + part * (until - now), lead_seconds, most).bounds == found.bounds
    if found.changes_at:
        assert pre_warm(spec, found.changes_at, lead_seconds, most).bounds != found.bounds


NIGHT = {"name": "night", "start": "22:00", "end": "06:00", "minReplicas": 1}
MEMBER = MemberWindows(Bounds(2, 4), (("night", Bounds(5, 8)),))


@pytest.mark.parametrize(
    ("clock", "lead", "expected"),
    [
        ("21:49:59", 600, Bounds(2, 4)),
        ("21:50:00", 600, Bounds(5, 5)),
        ("21:59:59", 0, Bounds(2, 4)),
        ("22:00:00", 0, Bounds(5, 8)),
        ("06:00:00", 600, Bounds(2, 4)),
    ],
)
def test_a_model_after_the_first_has_bounds_of_its_own_in_the_schedules_windows(
    clock: str, lead: int, expected: Bounds
) -> None:
    schedule = Schedule.model_validate({"default": {"minReplicas": 3}, "windows": [NIGHT]})
    now = datetime.fromisoformat(f"2026-11-04T{clock}Z")
    assert pre_warm(schedule, now, lead, 100, MEMBER).bounds == expected
    assert pre_warm(schedule, now, lead, 3, MEMBER).bounds == expected.capped(3)


def test_the_pre_warming_of_a_model_after_the_first_begins_by_its_own_bounds() -> None:
    schedule = Schedule.model_validate({"default": {"minReplicas": 3}, "windows": [NIGHT]})
    noon = datetime(2026, 11, 4, 12, tzinfo=UTC)
    assert pre_warm(schedule, noon, 600, 100, MEMBER).changes_at == datetime(2026, 11, 4, 21, 50, tzinfo=UTC)
    assert pre_warm(schedule, noon, 600, 100).changes_at is None
