"""Dates of TTSCalendars in a schedule."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from tests.support.resources import calendar
from tts_operator.api import Schedule
from tts_operator.calendar.calendar import changes, state_at, states
from tts_operator.calendar.dates import ends_soon, last_date, named_calendars, references, with_dates
from tts_operator.calendar.zero import has_zero

HOLIDAYS = {"name": "holidays", "calendarRef": {"name": "de"}, "minReplicas": 1}
DE = calendar(
    "de",
    {"name": "Christmas", "from": "2026-12-25", "to": "2026-12-26"},
    {"name": "Labour Day", "from": "2026-05-01"},
    {"name": "Boxing Day", "from": "2026-12-26"},
    {"name": "bridge", "from": "2026-12-27"},
)


def schedule(*exceptions: Any, **fields: Any) -> Schedule:
    return Schedule.model_validate({"default": {"minReplicas": 3}, "exceptions": exceptions, **fields})


def noon(date: str) -> datetime:
    return datetime.fromisoformat(f"{date}T12:00:00Z")


def test_the_exception_holds_on_the_dates_of_its_calendar_and_no_others() -> None:
    dated = with_dates(schedule(HOLIDAYS), {"de": DE})
    days = ("04-30", "05-01", "05-02", "12-24", "12-25", "12-26", "12-27", "12-28")
    said = {day: state_at(dated, noon(f"2026-{day}")).bounds.min_replicas for day in days}
    assert said == dict(zip(days, (3, 1, 3, 3, 1, 1, 1, 3), strict=True))


def test_dates_that_overlap_or_follow_each_other_are_one_range_without_a_change_between_them() -> None:
    dated = with_dates(schedule(HOLIDAYS), {"de": DE})
    assert [(each.from_, each.to) for each in dated.exceptions] == [
        ("2026-05-01", "2026-05-01"),
        ("2026-12-25", "2026-12-27"),
    ]
    december = changes(dated, datetime(2026, 12, 1, tzinfo=UTC), datetime(2026, 12, 31, tzinfo=UTC))
    assert [(f"{change.at:%m-%d}", change.window) for change in december] == [
        ("12-25", "holidays"),
        ("12-28", "default"),
    ]


def test_the_exception_keeps_its_place_among_the_others() -> None:
    before = {"name": "sale", "from": "2026-12-26", "to": "2026-12-26", "minReplicas": 9}
    after = {"name": "december", "from": "2026-12-01", "to": "2026-12-31", "minReplicas": 4}
    dated = with_dates(schedule(before, HOLIDAYS, after), {"de": DE})
    said = [state_at(dated, noon(f"2026-12-{day}")).window for day in (24, 25, 26, 27, 28)]
    assert said == ["december", "holidays", "sale", "holidays", "december"]


def test_hours_of_the_exception_hold_on_each_date_in_the_schedules_own_time_zone() -> None:
    hours = {**HOLIDAYS, "start": "08:00", "end": "14:00"}
    dated = with_dates(schedule(hours, timeZone="Asia/Tokyo"), {"de": DE})
    found = changes(dated, datetime(2026, 4, 30, tzinfo=UTC), datetime(2026, 5, 3, tzinfo=UTC))
    assert [f"{change.at:%m-%d %H:%M}" for change in found] == ["04-30 23:00", "05-01 05:00"]


@pytest.mark.parametrize("calendars", [{}, {"de": None}, {"de": calendar("de")}])
def test_without_dates_the_exception_holds_at_no_time(calendars: dict[str, Any]) -> None:
    closed = schedule({**HOLIDAYS, "minReplicas": 0})
    dated = with_dates(closed, calendars)
    assert state_at(dated, noon("2026-12-25")).window == "default"
    assert [state.window for state in states(dated)] == ["default"]
    assert not has_zero(dated)
    assert references(dated) == {"holidays": "de"}, "the status still tells of it"


def test_calendars_are_named_before_and_after_their_dates_are_known() -> None:
    plain = schedule(HOLIDAYS, {**HOLIDAYS, "name": "others", "calendarRef": {"name": "fr"}})
    assert named_calendars(plain) == {"de", "fr"}
    assert named_calendars(with_dates(plain, {"de": DE})) == {"de", "fr"}
    assert named_calendars(None) == named_calendars(schedule()) == frozenset()


def test_a_calendar_ends_soon_in_its_last_thirty_days_and_after_them() -> None:
    assert str(last_date(DE)) == "2026-12-27"
    assert not ends_soon(DE, schedule(), noon("2026-11-27"))
    assert ends_soon(DE, schedule(), noon("2026-11-28"))
    assert ends_soon(DE, schedule(), noon("2027-03-01"))
    assert ends_soon(calendar("none"), schedule(), noon("2026-01-01"))


@pytest.mark.parametrize(
    "dates",
    [
        {},
        {"from": "2026-01-01"},
        {"to": "2026-01-01"},
        {"from": "2026-01-01", "to": "2026-01-01", "calendarRef": {"name": "de"}},
        {"from": "2026-01-01", "calendarRef": {"name": "de"}},
    ],
)
def test_an_exception_has_either_dates_or_a_calendar(dates: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="requires from and to, or calendarRef instead of both"):
        schedule({"name": "holidays", "minReplicas": 1, **dates})
