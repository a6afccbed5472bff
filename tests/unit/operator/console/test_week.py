"""A week of a calendar as spans of wall time."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from tts_operator.console.week import Span, change_after, schedule_text, week_json, week_of

TUESDAY = datetime(2026, 12, 1, 4, 30, tzinfo=UTC)
PRESET = json.dumps({"timeZone": "Asia/Shanghai", "preset": "DayNightWeekend"})


def test_a_week_is_covered_from_monday_to_sunday_without_a_gap() -> None:
    week = week_of(PRESET, TUESDAY)
    assert week is not None
    assert (week.time_zone, week.monday) == ("Asia/Shanghai", "2026-11-30")
    assert [span.start for span in week.spans] == [0, *(span.end for span in week.spans[:-1])]
    assert week.spans[-1].end == 7 * 1440
    assert week.spans[:2] == (Span(0, 360, "night", 1, 1), Span(360, 1440, "day", 3, 3))
    assert week.spans[-1] == Span(6 * 1440 + 360, 7 * 1440, "weekend", 2, 2)
    assert week_json(week)["spans"][0] == [0, 360, "night", 1, 1]


def test_without_a_schedule_it_is_one_span() -> None:
    week = week_of("", TUESDAY)
    assert week is not None
    assert week.spans == (Span(0, 7 * 1440, "default", 1, 1),)
    assert change_after("", TUESDAY) is None


def test_the_week_is_that_of_the_tenants_own_date() -> None:
    """In Auckland it is Monday already while it is Sunday in UTC."""
    schedule = json.dumps({"timeZone": "Pacific/Auckland", "preset": "DayNightWeekend"})
    week = week_of(schedule, datetime(2026, 11, 29, 18, 0, tzinfo=UTC))
    assert week is not None
    assert week.monday == "2026-11-30"


def test_an_hour_that_the_clock_skips_leaves_no_gap() -> None:
    """In Berlin clocks go from 02:00 to 03:00 on the last Sunday of March: a window at 02:30 opens at 03:00."""
    window = {"name": "early", "start": "02:30", "end": "05:00", "minReplicas": 2}
    schedule = json.dumps({"timeZone": "Europe/Berlin", "default": {"minReplicas": 1}, "windows": [window]})
    week = week_of(schedule, datetime(2027, 3, 24, 12, 0, tzinfo=UTC))
    assert week is not None
    assert [span.start for span in week.spans] == [0, *(span.end for span in week.spans[:-1])]
    sunday = [span for span in week.spans if span.start > 6 * 1440]
    assert [(span.start - 6 * 1440, span.window) for span in sunday] == [(180, "early"), (300, "default")]


@pytest.mark.parametrize("schedule", [{"timeZone": "Mars/Olympus", "preset": "DayNightWeekend"}, {"preset": "Lunar"}])
def test_a_schedule_that_cannot_be_read_has_no_week(schedule: dict[str, str]) -> None:
    assert week_of(json.dumps(schedule), TUESDAY) is None


def test_the_next_change_is_told_with_its_bounds() -> None:
    change = change_after(PRESET, TUESDAY)
    assert change is not None
    assert (change.at, change.window, change.min_replicas) == ("2026-12-01T16:00:00+00:00", "night", 1)


def test_while_a_spec_is_refused_the_accepted_schedule_is_shown() -> None:
    accepted = {"models": [{"name": "espeak"}], "schedule": {"preset": "DayNightWeekend"}}
    body = {
        "metadata": {"name": "acme", "generation": 2},
        "spec": {"schedule": {"timeZone": "Mars/Olympus"}},
        "status": {
            "acceptedSpec": json.dumps(accepted),
            "conditions": [{"type": "Accepted", "status": "False", "observedGeneration": 2}],
        },
    }
    assert json.loads(schedule_text(body)) == {"preset": "DayNightWeekend"}
    assert schedule_text({"metadata": {"name": "new"}, "spec": {}}) == ""
