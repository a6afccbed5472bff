"""The public corpus of calendars, against the product and against the reading of every minute."""

from __future__ import annotations

import pytest

from tests.calendars.corpus import FOLDER, Case, cases
from tests.support.calendar_oracle import read, walk
from tests.support.resources import calendar
from tts_operator.api import Schedule
from tts_operator.calendar.calendar import changes, state_at
from tts_operator.calendar.dates import with_dates

CASES = {case.name: case for case in cases()}


def schedule_of(case: Case) -> Schedule:
    dates = {name: calendar(name, *entries) for name, entries in case.calendars.items()}
    return with_dates(Schedule.model_validate(case.schedule), dates)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_calendar_says_what_the_corpus_says(case: Case) -> None:
    schedule = schedule_of(case)
    for expected in case.instants:
        state = state_at(schedule, expected.at)
        assert (state.window, state.bounds.min_replicas, state.bounds.max_replicas) == expected[1:], expected.at


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_no_change_is_left_out_of_the_corpus(case: Case) -> None:
    instants = {each.at for each in case.instants}
    spec = {**case.schedule, "calendars": case.calendars}
    assert {at for at, _ in walk(spec, case.start, case.end)} <= instants
    assert {change.at for change in changes(schedule_of(case), case.start, case.end)} <= instants
    assert [read(spec, each.at) for each in case.instants] == [each[1:] for each in case.instants]


def test_the_corpus_has_what_its_readme_lists() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")]
    assert listed == [f"{name}.json" for name in CASES]
