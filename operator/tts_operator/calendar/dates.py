"""Dates of TTSCalendars in the exceptions of a schedule that refer to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta

from tts_operator.api import CalendarDate, CalendarException, Schedule, TTSCalendar
from tts_operator.calendar.calendar import time_zone

ONE_DAY = timedelta(days=1)
ENDS_SOON = timedelta(days=30)
"""Time before the last date of a calendar from which on the status reminds of later ones."""


def named_calendars(schedule: Schedule | None) -> frozenset[str]:
    """Names of the calendars that the schedule refers to."""
    return frozenset(references(schedule).values())


def references(schedule: Schedule | None) -> dict[str, str]:
    """The calendar of each exception that refers to one, by the name of the exception."""
    exceptions = schedule.exceptions if schedule else ()
    return {each.name: each.calendar_ref.name for each in exceptions if each.calendar_ref is not None}


def with_dates(schedule: Schedule, calendars: Mapping[str, TTSCalendar | None]) -> Schedule:
    """The schedule with one exception for each range of dates of the calendars that it refers to.

    They keep the exception's name and its place among the others. An exception whose calendar is missing stays as it
    is, and holds at no time; so does one whose calendar has no dates.
    """
    exceptions = tuple(part for each in schedule.exceptions for part in _on_dates(each, calendars))
    return schedule.model_copy(update={"exceptions": exceptions})


def last_date(calendar: TTSCalendar) -> date | None:
    """The last date of a calendar; None without any."""
    return max((each.last for each in calendar.spec.dates), default=None)


def ends_soon(calendar: TTSCalendar, schedule: Schedule, now: datetime) -> bool:
    """Whether the calendar has no dates from some day soon on. Raises UnknownTimeZone."""
    last, today = last_date(calendar), now.astimezone(time_zone(schedule.time_zone)).date()
    return last is None or last < today + ENDS_SOON


def _on_dates(exception: CalendarException, calendars: Mapping[str, TTSCalendar | None]) -> Iterator[CalendarException]:
    calendar = calendars.get(exception.calendar_ref.name) if exception.calendar_ref else None
    if calendar is None or not calendar.spec.dates:
        yield exception
        return
    for first, last in _ranges(calendar.spec.dates):
        yield exception.model_copy(update={"from_": first.isoformat(), "to": last.isoformat()})


def _ranges(dates: Sequence[CalendarDate]) -> Iterator[tuple[date, date]]:
    """Ranges of the dates in order; those that overlap, or follow each other, are one."""
    current: tuple[date, date] | None = None
    for first, last in sorted((each.first, each.last) for each in dates):
        if current is None:
            current = first, last
        elif first - ONE_DAY <= current[1]:
            current = current[0], max(current[1], last)
        else:
            yield current
            current = first, last
    if current is not None:
        yield current
