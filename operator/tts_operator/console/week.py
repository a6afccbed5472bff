"""The calendar of one week as spans of wall time, for a strip of seven days by twenty-four hours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic import ValidationError

from tts_operator.api import Schedule
from tts_operator.calendar.calendar import UnknownTimeZone, changes, next_change, state_at, time_zone
from tts_operator.objects.manifest import Body
from tts_operator.snapshot.accepted import accepted_text, parsed

MINUTES_A_DAY = 24 * 60
SCHEDULES_REMEMBERED = 4096
"""Weeks that are remembered: a thousand tenants have a few schedules between them."""


class Span(NamedTuple):
    """Part of a week with one state, in minutes of wall time since Monday at midnight."""

    start: int
    end: int
    window: str
    min_replicas: int
    max_replicas: int


class Week(NamedTuple):
    """A week of a schedule, from Monday to Sunday, in its own time zone."""

    time_zone: str
    monday: str
    """Local date of the first day."""
    spans: tuple[Span, ...]


class NextChange(NamedTuple):
    """The next change of the bounds, as the calendar of this process has it."""

    at: str
    window: str
    min_replicas: int
    max_replicas: int


def schedule_text(body: Body) -> str:
    """The schedule that applies to a tenant, as JSON: that of the last accepted spec, else of the spec as it is."""
    spec = parsed(accepted_text(body)) or body.get("spec") or {}
    schedule = spec.get("schedule") if isinstance(spec, Mapping) else None
    return json.dumps(schedule, sort_keys=True) if isinstance(schedule, Mapping) else ""


def week_of(schedule: str, instant: datetime) -> Week | None:
    """The week that contains an instant; None for a schedule that this version cannot read."""
    parsed_schedule = _schedule(schedule)
    if schedule and parsed_schedule is None:
        return None
    zone = "UTC" if parsed_schedule is None else parsed_schedule.time_zone
    try:
        local = instant.astimezone(time_zone(zone))
    except UnknownTimeZone:
        return None
    monday = local.date() - timedelta(days=local.weekday())
    return _week(schedule, zone, monday.isoformat())


def change_after(schedule: str, instant: datetime) -> NextChange | None:
    """The next change after an instant; None if there is none, or for a schedule that cannot be read."""
    return _change(schedule, instant.replace(second=0, microsecond=0))


@lru_cache(maxsize=SCHEDULES_REMEMBERED)
def _change(schedule: str, minute: datetime) -> NextChange | None:
    try:
        change = next_change(_schedule(schedule), minute)
    except UnknownTimeZone:
        return None
    if change is None:
        return None
    bounds = change.bounds
    return NextChange(change.at.isoformat(), change.window, bounds.min_replicas, bounds.max_replicas)


@lru_cache(maxsize=SCHEDULES_REMEMBERED)
def _schedule(text: str) -> Schedule | None:
    try:
        return Schedule.model_validate(json.loads(text)) if text else None
    except ValidationError:
        return None


@lru_cache(maxsize=SCHEDULES_REMEMBERED)
def _week(schedule: str, zone_name: str, monday: str) -> Week:
    """Spans of wall time: an hour that the clock skips is empty, one that it repeats shows its second half."""
    zone, parsed_schedule = time_zone(zone_name), _schedule(schedule)
    first = datetime.combine(datetime.fromisoformat(monday).date(), time())
    start, end = (day.replace(tzinfo=zone).astimezone(UTC) for day in (first, first + timedelta(days=7)))

    def minute(instant: datetime) -> int:
        wall = instant.astimezone(zone).replace(tzinfo=None)
        return max(0, min(int((wall - first).total_seconds()) // 60, 7 * MINUTES_A_DAY))

    state, since = state_at(parsed_schedule, start), 0
    spans: list[Span] = []
    for change in changes(parsed_schedule, start, end):
        at = minute(change.at)
        if at > since:
            spans.append(Span(since, at, state.window, state.bounds.min_replicas, state.bounds.max_replicas))
        state, since = state_at(parsed_schedule, change.at), at
    spans.append(Span(since, 7 * MINUTES_A_DAY, state.window, state.bounds.min_replicas, state.bounds.max_replicas))
    return Week(zone_name, monday, tuple(spans))


def week_json(week: Week) -> dict[str, Any]:
    """A week for the page."""
    return {"zone": week.time_zone, "monday": week.monday, "spans": [list(span) for span in week.spans]}
