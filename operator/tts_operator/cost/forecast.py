"""Replica hours of a schedule in a calendar month, at its minimum bounds: load beyond them cannot be foreseen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from tts_operator.api import Schedule
from tts_operator.calendar import calendar
from tts_operator.calendar.bounds import Bounds, State
from tts_operator.calendar.member_windows import MemberWindows

SECONDS_AN_HOUR = 3600
SCHEDULES_REMEMBERED = 4096
"""Months that are remembered. Tenants with equal schedules share one; an entry is about 1 kB."""


class MonthlyReplicas(NamedTuple):
    """Replica hours of one pool in a month."""

    scheduled: Decimal
    """Sum over the month of the minimum at each instant."""
    unscheduled: Decimal
    """The month's hours times the highest minimum in it, as if nothing ever scaled down."""


@lru_cache(maxsize=SCHEDULES_REMEMBERED)
def replica_hours(
    schedule: Schedule | None, start: datetime, end: datetime, most: int, member: MemberWindows | None = None
) -> MonthlyReplicas:
    """Replica hours between two instants, of at most `most` replicas. `member`: bounds of a model after the first.

    Raises UnknownTimeZone.
    """

    def minimum_in(window: str, bounds: Bounds) -> int:
        own = bounds if member is None or bounds.max_replicas == 0 else member.bounds(window)
        return min(own.min_replicas, most)

    state = calendar.state_at(schedule, start)
    minimum = highest = minimum_in(state.window, state.bounds)
    since, seconds = start, Decimal()
    for change in calendar.changes(schedule, start, end):
        seconds += minimum * _seconds(change.at - since)
        since, minimum = change.at, minimum_in(change.window, change.bounds)
        highest = max(highest, minimum)
    seconds += minimum * _seconds(end - since)
    return MonthlyReplicas(seconds / SECONDS_AN_HOUR, highest * _seconds(end - start) / SECONDS_AN_HOUR)


@lru_cache(maxsize=SCHEDULES_REMEMBERED)
def hours_by_window(schedule: Schedule | None, start: datetime, end: datetime, most: int) -> dict[str, Decimal]:
    """Replica hours between two instants at the minimum of each window, by its name. Raises UnknownTimeZone."""
    hours: dict[str, Decimal] = {}
    state, since = calendar.state_at(schedule, start), start
    for change in (*calendar.changes(schedule, start, end), None):
        until = end if change is None else change.at
        length = min(state.bounds.min_replicas, most) * _seconds(until - since) / SECONDS_AN_HOUR
        hours[state.window] = hours.get(state.window, Decimal()) + length
        if change is not None:
            state, since = State(change.window, change.bounds), change.at
    return hours


def without_override(schedule: Schedule | None) -> Schedule | None:
    """The schedule as it recurs. An override has an end and no beginning, so that no bill can tell when it began."""
    return schedule and schedule.model_copy(update={"override": None})


def constant_hours(replicas: int, start: datetime, end: datetime) -> MonthlyReplicas:
    """Replica hours between two instants of a pool that follows no schedule."""
    hours = replicas * _seconds(end - start) / SECONDS_AN_HOUR
    return MonthlyReplicas(hours, hours)


def month_of(schedule: Schedule | None, instant: datetime) -> tuple[datetime, datetime]:
    """Beginning and end of the calendar month, in the schedule's time zone, that contains an instant.

    A bill is for a calendar month, and the forecast changes with it only: not at every reconcile. Raises
    UnknownTimeZone.
    """
    zone = UTC if schedule is None else calendar.time_zone(schedule.time_zone)
    first = instant.astimezone(zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0, fold=0)
    following = (first.replace(tzinfo=None) + timedelta(days=31)).replace(day=1)
    return first.astimezone(UTC), following.replace(tzinfo=zone).astimezone(UTC)


def _seconds(duration: timedelta) -> Decimal:
    return Decimal(duration // timedelta(microseconds=1)) / 1_000_000
