"""Reads the TTSCalendars that a schedule refers to."""

from collections.abc import Iterable
from dataclasses import dataclass

from tts_operator.api import TTSCalendar, TTSTenant
from tts_operator.calendar.dates import named_calendars, with_dates
from tts_operator.informer.reader import Reader
from tts_operator.objects.kinds import CALENDAR
from tts_operator.objects.manifest import Ref
from tts_operator.observe.models import Parsed, parse
from tts_operator.observe.sources import together


@dataclass(frozen=True)
class CalendarReading:
    """TTSCalendars by name."""

    calendars: dict[str, TTSCalendar | None]
    """By name; None where the calendar is missing or does not parse."""
    errors: dict[str, str]
    """Why an existing calendar does not parse, in one line."""


async def read_calendars(objects: Reader, names: Iterable[str]) -> CalendarReading:
    """Read these calendars. Raises ClusterError."""
    ordered = sorted(names)
    bodies = await together(*(objects.get(Ref.of(CALENDAR, "", name)) for name in ordered))
    found = {
        name: Parsed[TTSCalendar]() if body is None else parse(TTSCalendar, body)
        for name, body in zip(ordered, bodies, strict=True)
    }
    return CalendarReading(
        calendars={name: each.value for name, each in found.items()},
        errors={name: each.error for name, each in found.items() if each.error},
    )


def on_dates(tenant: TTSTenant, reading: CalendarReading) -> TTSTenant:
    """The tenant with the dates of its calendars in its schedule."""
    schedule = tenant.spec.schedule
    if not named_calendars(schedule) or schedule is None:
        return tenant
    spec = tenant.spec.model_copy(update={"schedule": with_dates(schedule, reading.calendars)})
    return tenant.model_copy(update={"spec": spec})
