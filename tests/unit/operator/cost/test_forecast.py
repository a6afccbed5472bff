"""A month costs what a walk over its quarters of an hour says."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_operator.api import Schedule
from tts_operator.calendar import calendar
from tts_operator.cost.forecast import constant_hours, month_of, replica_hours

PRESET = Schedule.model_validate({"timeZone": "Asia/Shanghai", "preset": "DayNightWeekend"})
QUARTER = timedelta(minutes=15)
BERLIN = Schedule.model_validate(
    {
        "timeZone": "Europe/Berlin",
        "default": {"minReplicas": 2, "maxReplicas": 8},
        "windows": [{"name": "night", "start": "22:00", "end": "03:45", "minReplicas": 0, "maxReplicas": 0}],
        "exceptions": [{"name": "fair", "from": "2026-03-05", "to": "2026-03-06", "minReplicas": 5}],
    }
)


def test_the_preset_in_a_month_of_thirty_days() -> None:
    """November 2026 in Shanghai has 21 weekdays and 9 days of weekends; a night of 6 hours belongs to each day."""
    start, end = month_of(PRESET, datetime(2026, 11, 11, tzinfo=UTC))
    assert end - start == timedelta(days=30)
    hours = replica_hours(PRESET, start, end, 1000)
    assert hours.scheduled == 30 * 6 * 1 + 21 * 18 * 3 + 9 * 18 * 2
    assert hours.unscheduled == 30 * 24 * 3


@pytest.mark.parametrize("month", range(1, 13))
def test_every_month_of_a_zone_with_summer_time(month: int) -> None:
    start, end = month_of(BERLIN, datetime(2026, month, 15, tzinfo=UTC))
    quarters = range(int((end - start) / QUARTER))  # every time of the schedule and of the zone is a multiple of it
    walked = [calendar.state_at(BERLIN, start + number * QUARTER).bounds.min_replicas for number in quarters]
    hours = replica_hours(BERLIN, start, end, 4)
    assert hours.scheduled == Decimal(sum(min(each, 4) for each in walked)) / 4
    assert hours.unscheduled == Decimal(len(walked) * min(max(walked), 4)) / 4


def test_without_a_schedule_one_replica_runs_all_month() -> None:
    start, end = month_of(None, datetime(2026, 2, 28, 23, 59, tzinfo=UTC))
    assert (start, end) == (datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))
    assert replica_hours(None, start, end, 1000) == constant_hours(1, start, end)
    assert constant_hours(1, start, end).scheduled == 28 * 24


@given(st.integers(0, 4 * 10**9))
def test_the_month_contains_the_instant_and_months_follow_each_other(unix_seconds: int) -> None:
    instant = datetime.fromtimestamp(unix_seconds, UTC)
    start, end = month_of(BERLIN, instant)
    assert start <= instant < end
    assert month_of(BERLIN, end)[0] == end
    assert month_of(BERLIN, end - timedelta(microseconds=1)) == (start, end)
