"""The calendar against a reading of every minute, in many zones and around the days on which their clocks jump.

`HYPOTHESIS_PROFILE=thorough` looks at many more schedules.
"""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.calendar_oracle import DAY_NAMES, Spec, read, walk
from tests.support.resources import calendar
from tests.support.time_zones import ODD_DAYS
from tts_operator.api import Schedule
from tts_operator.calendar.bounds import State
from tts_operator.calendar.calendar import changes, next_change, state_at
from tts_operator.calendar.dates import with_dates

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
LOOK = settings(
    max_examples=1000 if THOROUGH else 30,
    derandomize=not THOROUGH,
    suppress_health_check=[HealthCheck.too_slow],
)
pytestmark = pytest.mark.timeout(3600 if THOROUGH else 300)
DAYS_WALKED = 5 if THOROUGH else 2
Row = tuple[datetime, str, int, int]

bounds = st.tuples(st.integers(1, 3), st.one_of(st.none(), st.integers(0, 2))).map(
    lambda pair: {"minReplicas": pair[0]} | ({} if pair[1] is None else {"maxReplicas": pair[0] + pair[1]})
)
# Near the edges of hours and days, where clocks jump; the odd minute keeps everybody honest.
minutes = st.one_of(
    st.sampled_from([0, 1, 30, 60, 90, 105, 120, 150, 165, 180, 225, 240, 360, 720, 1380, 1410, 1439]),
    st.integers(0, 1439),
)


def clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


hours = st.lists(minutes, min_size=2, max_size=2, unique=True).map(
    lambda pair: {"start": clock(min(pair)), "end": clock(max(pair))}
)


@st.composite
def windows(draw: st.DrawFn) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for index in range(draw(st.integers(0, 4))):
        window = {"name": f"window-{index}", **draw(bounds)}
        timed = draw(st.sampled_from([True, True, True, False]))
        if timed:
            start = draw(minutes)
            end = (start + draw(st.integers(1, 1439))) % 1440 if draw(st.booleans()) else draw(minutes)
            end = 1440 if end == start else end
            window |= {"start": clock(start), "end": clock(end)}
        if not timed or draw(st.booleans()):
            window["days"] = draw(st.lists(st.sampled_from(DAY_NAMES), min_size=1, max_size=7, unique=True))
        made.append(window)
    return made


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone, and an instant a little before one of its odd days, or on a day like any other."""
    zone = draw(st.sampled_from(sorted(ODD_DAYS)))
    around = draw(st.sampled_from([*(ODD_DAYS[zone] * 3), "2025-06-11"]))
    midnight = datetime.fromisoformat(around).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    return zone, midnight - timedelta(seconds=draw(st.integers(0, 40 * 3600)))


@st.composite
def dates(draw: st.DrawFn, today: date) -> list[dict[str, str]]:
    """Dates of a TTSCalendar around this day, in any order; some overlap."""
    made: list[dict[str, str]] = []
    for index in range(draw(st.integers(0, 4))):
        first = today + timedelta(days=draw(st.integers(-3, 5)))
        length = draw(st.one_of(st.none(), st.integers(0, 2)))
        last = {} if length is None else {"to": str(first + timedelta(days=length))}
        made.append({"name": f"date-{index}", "from": str(first), **last})
    return made


def schedule_of(spec: Spec) -> Schedule:
    """The product's schedule, with the dates of its calendars."""
    own = Schedule.model_validate({name: value for name, value in spec.items() if name != "calendars"})
    return with_dates(own, {name: calendar(name, *dates) for name, dates in spec.get("calendars", {}).items()})


@st.composite
def calendars(draw: st.DrawFn) -> tuple[Spec, datetime]:
    zone, start = draw(moments())
    spec: Spec = {"timeZone": zone}
    if draw(st.integers(0, 9)) == 0:
        spec["preset"] = "DayNightWeekend"
    else:
        spec |= {"default": draw(bounds), "windows": draw(windows())}
    today = start.astimezone(ZoneInfo(zone)).date()
    spec["exceptions"] = [
        {"name": f"exception-{index}", "from": str(first), "to": str(first + timedelta(days=length))}
        | draw(bounds)
        | draw(st.one_of(st.just({}), hours))
        for index in range(draw(st.integers(0, 2)))
        for first in [today + timedelta(days=draw(st.integers(-3, 5)))]
        for length in [draw(st.integers(0, 3))]
    ]
    if draw(st.booleans()):
        referring = {"name": "holidays", "calendarRef": {"name": draw(st.sampled_from(["de", "missing"]))}}
        place = draw(st.integers(0, len(spec["exceptions"])))
        spec["exceptions"].insert(place, referring | draw(bounds) | draw(st.one_of(st.just({}), hours)))
        spec["calendars"] = {"de": draw(dates(today))}
    if draw(st.integers(0, 3)) == 0:
        # On a whole minute: the oracle looks at no other.
        until = start.replace(second=0, microsecond=0) + timedelta(minutes=draw(st.integers(-60, 60 * 60)))
        spec["override"] = {"until": until.isoformat(), **draw(bounds)}
    return spec, start


def row(at: datetime, state: State) -> Row:
    return at, state.window, state.bounds.min_replicas, state.bounds.max_replicas


@LOOK
@given(calendars())
def test_the_calendar_says_what_a_walk_over_every_minute_says(case: tuple[Spec, datetime]) -> None:
    spec, start = case
    schedule, end = schedule_of(spec), start + timedelta(days=DAYS_WALKED)
    said = [row(start, state_at(schedule, start))]
    said += [(change.at, change.window, *bounds_of(change.bounds)) for change in changes(schedule, start, end)]
    assert said == [(at, *reading) for at, reading in walk(spec, start, end)]


def bounds_of(bounds: Any) -> tuple[int, int]:
    return bounds.min_replicas, bounds.max_replicas


@LOOK
@given(calendars(), st.integers(0, DAYS_WALKED * 86_400_000))
def test_an_instant_between_the_minutes_is_read_the_same(case: tuple[Spec, datetime], milliseconds: int) -> None:
    spec, start = case
    instant = start + timedelta(milliseconds=milliseconds)
    said = row(instant, state_at(schedule_of(spec), instant))
    assert said == (instant, *read(spec, instant))


@LOOK
@given(calendars())
def test_the_next_change_is_the_first_instant_that_differs(case: tuple[Spec, datetime]) -> None:
    spec, start = case
    schedule = schedule_of(spec)
    change = next_change(schedule, start)
    if change is None:
        assert len(list(walk(spec, start, start + timedelta(days=3)))) == 1
        return
    assert change.at > start
    assert read(spec, change.at) == (change.window, *bounds_of(change.bounds)) != read(spec, start)
    a_moment_before = max(start, change.at - timedelta(microseconds=1))
    assert read(spec, a_moment_before) == read(spec, start)
    assert len(list(walk(spec, start, min(change.at, start + timedelta(days=DAYS_WALKED))))) == 1


@LOOK
@given(calendars())
def test_walking_by_next_change_visits_every_change(case: tuple[Spec, datetime]) -> None:
    spec, start = case
    schedule, end = schedule_of(spec), start + timedelta(days=DAYS_WALKED)
    visited = []
    change = next_change(schedule, start)
    while change is not None and change.at < end:
        visited.append(change)
        change = next_change(schedule, change.at)
    assert visited == list(changes(schedule, start, end))


@pytest.mark.parametrize("zone", ODD_DAYS)
def test_the_preset_is_right_over_the_odd_days_of(zone: str) -> None:
    spec = {"timeZone": zone, "preset": "DayNightWeekend"}
    schedule = Schedule.model_validate(spec)
    for day in (ODD_DAYS[zone] or ("2025-06-14",))[: None if THOROUGH else 1]:
        start = datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(hours=14)
        end = start + timedelta(hours=40)
        said = [(change.at, change.window) for change in changes(schedule, start, end)]
        assert said == [(at, reading.window) for at, reading in walk(spec, start, end)][1:]


def test_the_odd_days_are_odd_and_the_zones_many() -> None:
    assert len(ODD_DAYS) >= 40
    for zone, days in ODD_DAYS.items():
        for day in map(date.fromisoformat, days):
            noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
            clocks = {
                (noon + timedelta(hours=hours)).astimezone(ZoneInfo(zone)).utcoffset() for hours in range(-36, 60, 6)
            }
            assert len(clocks) > 1, f"the clocks of {zone} do nothing odd about {day}"
