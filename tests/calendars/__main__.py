"""Prints the corpus as this project's calendar reads it; with `--peers` the table beside other programs."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC

from tests.calendars.beside_peers import table
from tests.calendars.corpus import cases
from tests.support.resources import calendar
from tts_operator.api import Schedule
from tts_operator.calendar.calendar import state_at
from tts_operator.calendar.dates import with_dates
from tts_operator.calendar.tz_database import use_pinned_database


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.calendars", description=__doc__)
    parser.add_argument("--peers", action="store_true", help="Print the table beside other schedulers of replicas.")
    use_pinned_database()
    if parser.parse_args().peers:
        print(table(), end="")
        return 0
    wrong = 0
    for case in cases():
        print(f"{case.name}: {case.description}")
        dates = {name: calendar(name, *entries) for name, entries in case.calendars.items()}
        schedule = with_dates(Schedule.model_validate(case.schedule), dates)
        for expected in case.instants:
            state = state_at(schedule, expected.at)
            said = (state.window, state.bounds.min_replicas, state.bounds.max_replicas)
            agrees = said == expected[1:]
            wrong += not agrees
            at = expected.at.astimezone(UTC)
            print(f"  {at:%Y-%m-%dT%H:%M:%SZ}  {said[0]:<16} {said[1]:>4} {said[2]:>4}{'' if agrees else '  WRONG'}")
    print(f"{wrong} instants differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
