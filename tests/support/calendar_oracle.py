"""A second reading of the calendar, slow and without cleverness: it looks at the wall clock of every minute.

It shares nothing with the product. It reads the schedule as a user writes it (camelCase, strings), with the dates of
TTSCalendars beside it as `calendars`, and answers one question, "which entry holds now?", by walking the lists; changes
are found by asking it at every minute.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

Spec: TypeAlias = dict[str, Any]
DAY_NAMES = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
PRESET: Spec = {
    "default": {"minReplicas": 3, "maxReplicas": 3},
    "windows": [
        {"name": "night", "start": "00:00", "end": "06:00", "minReplicas": 1, "maxReplicas": 1},
        {"name": "weekend", "days": ["Sat", "Sun"], "minReplicas": 2, "maxReplicas": 2},
    ],
}


class Reading(NamedTuple):
    window: str
    least: int
    most: int


def read(spec: Spec, instant: datetime) -> Reading:
    override = spec.get("override")
    if override and instant.timestamp() < datetime.fromisoformat(override["until"]).timestamp():
        return reading("override", override)
    wall = instant.astimezone(ZoneInfo(spec.get("timeZone", "UTC")))
    text = wall.isoformat()
    today, clock = text[:10], text[11:26]
    today_name, yesterday_name = DAY_NAMES[wall.weekday()], DAY_NAMES[wall.weekday() - 1]
    for exception in spec.get("exceptions", []):
        hours = exception.get("start", "00:00"), exception.get("end", "24:00")
        if is_on(today, exception, spec.get("calendars", {})) and hours[0] <= clock < hours[1]:
            return reading(exception["name"], exception)
    rules = PRESET if spec.get("preset") == "DayNightWeekend" else spec
    for window in rules.get("windows", []):
        days = window.get("days", DAY_NAMES)
        start, end = window.get("start", "00:00"), window.get("end", "24:00")
        if start < end:
            inside = today_name in days and start <= clock < end
        else:
            inside = (today_name in days and clock >= start) or (yesterday_name in days and clock < end)
        if inside:
            return reading(window["name"], window)
    name = "day" if rules is PRESET else "default"
    return reading(name, rules.get("default", {"minReplicas": 1, "maxReplicas": 1}))


def is_on(today: str, exception: Spec, calendars: dict[str, list[dict[str, str]]]) -> bool:
    """Whether a date is one of an exception's. `calendars` are the dates of TTSCalendars, by name."""
    if "calendarRef" not in exception:
        return bool(exception["from"] <= today <= exception["to"])
    dates = calendars.get(exception["calendarRef"]["name"], [])
    return any(each["from"] <= today <= each.get("to", each["from"]) for each in dates)


def reading(name: str, entry: Spec) -> Reading:
    least: int = entry["minReplicas"]
    return Reading(name, least, entry.get("maxReplicas", least))


def walk(spec: Spec, start: datetime, end: datetime, step_seconds: int = 60) -> Iterator[tuple[datetime, Reading]]:
    """The reading at `start`, then at every step (from a whole one on) whose reading differs from the one before."""
    before = read(spec, start)
    yield start.astimezone(UTC), before
    seconds = int(start.timestamp()) // step_seconds * step_seconds + step_seconds
    while seconds < end.timestamp():
        instant = datetime.fromtimestamp(seconds, UTC)
        now = read(spec, instant)
        if now != before:
            yield instant, now
        before = now
        seconds += step_seconds
