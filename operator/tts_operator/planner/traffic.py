"""The traffic of a week: requests per second by weekday and hour, in the schedule's time zone."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from tts_operator.calendar.calendar import WEEK

COLUMNS = ("weekday", "hour", "requestsPerSecond")
Hour: TypeAlias = tuple[int, int]
"""Weekday (0 is Monday) and hour (0 to 23)."""
HOURS: tuple[Hour, ...] = tuple((day, hour) for day in range(7) for hour in range(24))


class TrafficError(ValueError):
    """A file that says no traffic. The message names the line and what to write."""


@dataclass(frozen=True)
class Traffic:
    """Requests per second in each hour of a week."""

    requests_per_second: Mapping[Hour, float]

    @classmethod
    def constant(cls, requests_per_second: float) -> Traffic:
        """Traffic that is equal in every hour."""
        return cls(dict.fromkeys(HOURS, requests_per_second))

    @classmethod
    def of_csv(cls, lines: Iterable[str]) -> Traffic:
        """Traffic of a CSV with the header weekday,hour,requestsPerSecond. Hours that are missing have none.

        Raises TrafficError.
        """
        found: dict[Hour, float] = {}
        reader = csv.DictReader(lines)
        reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
        if tuple(reader.fieldnames) != COLUMNS:
            raise TrafficError(f"the first line must be {','.join(COLUMNS)}")
        for row in reader:
            hour, rate = _row(row, reader.line_num)
            if hour in found:
                raise TrafficError(f"line {reader.line_num}: {WEEK[hour[0]]} {hour[1]} is there twice; write it once")
            found[hour] = rate
        if not found:
            raise TrafficError(f"there is no hour in it: write lines such as {WEEK[0]},9,12.5")
        return cls(dict.fromkeys(HOURS, 0.0) | found)


def _row(row: Mapping[str, str | None], line: int) -> tuple[Hour, float]:
    weekday, hour, rate = (str(row[name] or "").strip() for name in COLUMNS)
    if weekday not in WEEK:
        raise TrafficError(f"line {line}: weekday must be one of {', '.join(WEEK)}, not {weekday!r}")
    if not (hour.isdecimal() and int(hour) < 24):
        raise TrafficError(f"line {line}: hour must be a whole number from 0 to 23, not {hour!r}")
    try:
        number = float(rate)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1_000_000:
        raise TrafficError(f"line {line}: requestsPerSecond must be a number from 0 to 1000000, not {rate!r}")
    return (WEEK.index(weekday), int(hour)), number
