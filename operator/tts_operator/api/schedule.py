"""The calendar of a tenant or of a shared pool, as people write it. What it means is `tts_operator.schedule`'s."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from tts_operator.api.base import APIModel, DNSLabel, Replicas, atomic, cel, unique

StartTime = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length=5)]
EndTime = Annotated[str, StringConstraints(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", max_length=5)]
LocalDate = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", max_length=10),
    Field(json_schema_extra={"format": "date"}),
]
"""YYYY-MM-DD."""
TimeZone = Annotated[
    str,
    StringConstraints(pattern=r"^(UTC|[A-Z][A-Za-z0-9_]+(/[A-Za-z0-9_+-]+){1,2})$", min_length=1, max_length=64),
]
"""A name of the IANA time zone database."""

BOUNDS_RULE = (
    "!has(self.maxReplicas) || (self.minReplicas == 0 ? self.maxReplicas == 0 : self.minReplicas <= self.maxReplicas)",
    "minReplicas must not exceed maxReplicas; minReplicas is 0 only if maxReplicas is 0 too",
)


class Weekday(StrEnum):
    """A day of the week, in the tenant's time zone."""

    MON = "Mon"
    TUE = "Tue"
    WED = "Wed"
    THU = "Thu"
    FRI = "Fri"
    SAT = "Sat"
    SUN = "Sun"


class Preset(StrEnum):
    """A calendar with a name."""

    DAY_NIGHT_WEEKEND = "DayNightWeekend"


class ScaleBounds(APIModel):
    """How few and how many replicas there may be."""

    model_config = cel(BOUNDS_RULE)

    min_replicas: Replicas
    """Replicas kept when nobody speaks. 0, with `maxReplicas` 0, scales the endpoint away."""
    max_replicas: Replicas | None = None
    """Replicas that load may reach. Default: `minReplicas`."""


class Window(ScaleBounds):
    """A part of the day with its own replica bounds. The first window that matches wins."""

    model_config = cel(
        ("has(self.start) == has(self.end)", "start and end go together; leave out both for the whole day"),
        (
            "!has(self.start) || !has(self.end) || self.start != self.end",
            "start and end must differ; for the whole day leave out both",
        ),
        ("has(self.start) || has(self.days)", "a window needs start and end, or days, or both"),
        BOUNDS_RULE,
    )

    name: DNSLabel
    """Shown in `status.activeWindow`."""
    days: Annotated[tuple[Weekday, ...], Field(min_length=1, max_length=7)] | None = None
    """Days on which the window starts. Default: every day."""
    start: StartTime | None = None
    """Local time of `timeZone`, as HH:MM, at which the window opens. Default: the whole day."""
    end: EndTime | None = None
    """Local time at which the window closes; this minute is no longer part of it.

    Earlier than `start`: on the next day. 24:00 is the end of the day.
    """


class CalendarException(ScaleBounds):
    """A span of local dates with its own replica bounds. It goes before every window."""

    model_config = cel(
        ("self.from <= self.to", "from must not be later than to"),
        BOUNDS_RULE,
    )

    name: DNSLabel
    """Shown in `status.activeWindow`."""
    from_: Annotated[LocalDate, Field(alias="from")]
    """First local date, YYYY-MM-DD."""
    to: LocalDate
    """Last local date, itself included."""


class Schedule(APIModel):
    """Replica bounds that follow the clock.

    Exceptions go before windows, windows before the default; in each list the first that matches wins.
    """

    model_config = cel(
        (
            "!has(self.preset) || (!has(self.default) && !has(self.windows))",
            "preset comes with its own default and windows; leave those out, or leave out preset",
        ),
        ("has(self.preset) || has(self.default)", "a schedule needs preset or default"),
    )

    time_zone: Annotated[
        TimeZone,
        Field(
            json_schema_extra={
                "x-kubernetes-validations": [
                    {
                        "rule": "timestamp('2000-01-01T00:00:00Z').getHours(self) >= 0",
                        "message": "timeZone must be a name of the IANA time zone database, such as Asia/Shanghai",
                    }
                ]
            }
        ),
    ] = "UTC"
    """IANA name of the zone whose local time the windows mean, such as Asia/Shanghai."""
    preset: Preset | None = None
    """A ready calendar.

    DayNightWeekend: 3 replicas by day, 1 from 00:00 to 06:00, 2 at the weekend; night goes before weekend.
    """
    default: ScaleBounds | None = None
    """Holds when nothing else matches; `status.activeWindow` is then `default`."""
    windows: Annotated[tuple[Window, ...], Field(max_length=16), atomic(unique("name", "windows"))] = ()
    """Parts of the day or the week, the first that matches wins."""
    exceptions: Annotated[
        tuple[CalendarException, ...], Field(max_length=64), atomic(unique("name", "exceptions"))
    ] = ()
    """Dates that differ from the rest of the year."""
    pre_warm_seconds: Annotated[int, Field(ge=0, le=3600)] | None = None
    """Raise the minimum this long before a window that needs more. Default: the model's `loadSeconds`."""
