"""The schedule of a tenant or of a shared pool. `tts_operator.calendar` evaluates it."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from tts_operator.api.autoscaling import Behavior
from tts_operator.api.base import (
    APIModel,
    DNSLabel,
    ObjectReference,
    Replicas,
    atomic,
    cel,
    field_cel,
    list_set,
    unique,
)
from tts_operator.api.precision import Precision


def _existing_date(text: str) -> str:
    date.fromisoformat(text)  # raises ValueError for 30 February
    return text


def _instant(text: str) -> str:
    if not RFC3339.fullmatch(text):
        raise ValueError("not an instant in RFC 3339 with an offset, such as 2026-11-30T18:00:00Z")
    datetime.fromisoformat(text.upper()).astimezone(UTC)  # raises ValueError for 30 February, OverflowError for year 0
    return text


MAX_WAIT_SECONDS = 60
"""Default of `maxWaitSeconds`."""
WAKE_SECONDS = 900
"""Default of `wakeSeconds`."""
RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,6})?([Zz]|[-+]\d{2}:\d{2})", re.ASCII)
StartTime = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length=5)]
EndTime = Annotated[str, StringConstraints(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", max_length=5)]
LocalDate = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", max_length=10),
    AfterValidator(_existing_date),
    Field(json_schema_extra={"format": "date"}),
]
"""Date as YYYY-MM-DD."""
TimeZone = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$", min_length=1, max_length=64),
]
"""Name in the IANA time zone database."""

# Each rule is a CEL expression for the API server and the message if it is false; a validator below repeats it.
BOUNDS_RULE = (
    "!has(self.maxReplicas) || (self.minReplicas == 0 ? self.maxReplicas == 0 : self.minReplicas <= self.maxReplicas)",
    "minReplicas must not exceed maxReplicas, and may be 0 only if maxReplicas is 0",
)
PAIR_RULE = (
    "has(self.start) == has(self.end)",
    "set both start and end, or neither for the whole day",
)
LENGTH_RULE = (
    "!has(self.start) || !has(self.end) || self.start != self.end",
    "start and end must differ; omit both for the whole day",
)
EXTENT_RULE = ("has(self.start) || has(self.days)", "a window requires start and end, or days, or both")
HOURS_RULE = (
    "!has(self.start) || !has(self.end) || self.start < self.end",
    "end must be later than start: hours of an exception do not cross midnight",
)
DATES_RULE = (
    "has(self.calendarRef) ? !has(self.from) && !has(self.to) : has(self.from) && has(self.to)",
    "an exception requires from and to, or calendarRef instead of both",
)
ORDER_RULE = ("!has(self.from) || !has(self.to) || self.from <= self.to", "from must not be later than to")
PRESET_RULE = (
    "!has(self.preset) || (!has(self.default) && !has(self.windows))",
    "preset defines default and windows: remove those fields, or remove preset",
)
CONTENT_RULE = ("has(self.preset) || has(self.default)", "a schedule requires preset or default")
WAKE_RULE = (
    "(has(self.wakeOnRequest) && self.wakeOnRequest) || (!has(self.maxWaitSeconds) && !has(self.wakeSeconds))",
    "maxWaitSeconds and wakeSeconds require wakeOnRequest: true; set it, or remove them",
)
WAIT_RULE = (
    f"(has(self.maxWaitSeconds) ? self.maxWaitSeconds : {MAX_WAIT_SECONDS})"
    f" <= (has(self.wakeSeconds) ? self.wakeSeconds : {WAKE_SECONDS})",
    "maxWaitSeconds must not exceed wakeSeconds: the pods would be gone before the request ends",
)
UNIQUE_WINDOWS = unique("name", "windows")
UNIQUE_EXCEPTIONS = unique("name", "exceptions")


class Weekday(StrEnum):
    """Day of the week, in the schedule's time zone."""

    MON = "Mon"
    TUE = "Tue"
    WED = "Wed"
    THU = "Thu"
    FRI = "Fri"
    SAT = "Sat"
    SUN = "Sun"


class Preset(StrEnum):
    """Predefined schedule."""

    DAY_NIGHT_WEEKEND = "DayNightWeekend"


class ScaleBounds(APIModel):
    """Minimum and maximum number of replicas."""

    model_config = cel(BOUNDS_RULE)

    min_replicas: Replicas
    """Minimum number of replicas. 0, with `maxReplicas` 0, scales the endpoint to zero."""
    max_replicas: Replicas | None = None
    """Maximum number of replicas under load. Default: `minReplicas`."""

    @model_validator(mode="after")
    def bounds_are_in_order(self) -> Self:
        """Raises ValueError for what BOUNDS_RULE refuses."""
        if self.max_replicas is not None:
            zero, zero_too = self.min_replicas == 0, self.max_replicas == 0
            _check(zero_too if zero else self.min_replicas <= self.max_replicas, BOUNDS_RULE)
        return self


class Window(ScaleBounds):
    """Part of a day or week with its own replica bounds. The first window that matches is active."""

    model_config = cel(
        PAIR_RULE,
        LENGTH_RULE,
        EXTENT_RULE,
        BOUNDS_RULE,
    )

    name: DNSLabel
    """Name shown in `status.activeWindow`."""
    days: Annotated[tuple[Weekday, ...], Field(min_length=1, max_length=7), list_set()] | None = None
    """Days of the week on which the window starts. Default: every day."""
    start: StartTime | None = None
    """Local time in `timeZone`, as HH:MM, at which the window starts. Omit `start` and `end` for the whole day."""
    end: EndTime | None = None
    """Local time at which the window ends, exclusive. 24:00 is the end of the day.

    If it is earlier than `start`, the window crosses midnight and ends on the next day.
    """
    precision: Precision | None = None
    """Numeric precision of the first model while the window is active. Default: that of its entry in `spec.models`.

    Pods are replaced before it begins and before it ends, with those of both precisions serving meanwhile.
    """
    behavior: Behavior | None = None
    """Speed of scaling of all models while the window is active. Default: that of `spec.autoscaling`."""

    @model_validator(mode="after")
    def times_make_a_window(self) -> Self:
        """Raises ValueError for what PAIR_RULE, LENGTH_RULE and EXTENT_RULE refuse."""
        _check((self.start is None) == (self.end is None), PAIR_RULE)
        _check(self.start is None or self.start != self.end, LENGTH_RULE)
        _check(self.start is not None or self.days is not None, EXTENT_RULE)
        return self


class CalendarException(ScaleBounds):
    """Local dates with their own replica bounds: a range, or the dates of a TTSCalendar.

    It takes precedence over every window.
    """

    model_config = cel(DATES_RULE, ORDER_RULE, PAIR_RULE, HOURS_RULE, BOUNDS_RULE)

    name: DNSLabel
    """Name shown in `status.activeWindow`."""
    from_: Annotated[LocalDate | None, Field(alias="from")] = None
    """First local date, YYYY-MM-DD."""
    to: LocalDate | None = None
    """Last local date, inclusive."""
    calendar_ref: ObjectReference | None = None
    """TTSCalendar whose dates these are, instead of `from` and `to`. While it does not exist, the exception never
    applies."""
    start: StartTime | None = None
    """Local time, as HH:MM, from which the exception holds on each of the dates. Omit `start` and `end` for the day."""
    end: EndTime | None = None
    """Local time, exclusive, until which the exception holds on each of the dates; later than `start`. 24:00 is the end
    of the day."""
    precision: Precision | None = None
    """Numeric precision of the first model while the exception is active. Default: that of its entry in `spec.models`.

    Pods are replaced before it begins and before it ends, with those of both precisions serving meanwhile.
    """
    behavior: Behavior | None = None
    """Speed of scaling of all models while the exception is active. Default: that of `spec.autoscaling`."""

    @model_validator(mode="after")
    def dates_and_times_are_in_order(self) -> Self:
        """Raises ValueError for what DATES_RULE, ORDER_RULE, PAIR_RULE and HOURS_RULE refuse.

        Dates and times of these forms sort as they follow each other.
        """
        own = self.calendar_ref is None
        _check((self.from_ is not None) == own and (self.to is not None) == own, DATES_RULE)
        _check(self.from_ is None or self.to is None or self.from_ <= self.to, ORDER_RULE)
        _check((self.start is None) == (self.end is None), PAIR_RULE)
        _check(self.start is None or self.end is None or self.start < self.end, HOURS_RULE)
        return self


class Override(ScaleBounds):
    """Replica bounds for a limited time. They take precedence over the whole calendar."""

    model_config = cel(BOUNDS_RULE)

    until: Annotated[
        str,
        StringConstraints(max_length=35),
        AfterValidator(_instant),
        Field(json_schema_extra={"format": "date-time"}),
    ]
    """Instant, in RFC 3339 such as 2026-11-30T18:00:00Z, from which the calendar applies again."""

    @property
    def ends_at(self) -> datetime:
        """The instant `until`, in UTC."""
        return datetime.fromisoformat(self.until.upper()).astimezone(UTC)


class Schedule(APIModel):
    """Replica bounds by time of day, day of the week and date.

    An override takes precedence over exceptions, these over windows, windows over the default; in each list the first
    match is active.
    """

    model_config = cel(
        PRESET_RULE,
        CONTENT_RULE,
        WAKE_RULE,
        WAIT_RULE,
    )

    time_zone: Annotated[
        TimeZone,
        field_cel(
            (
                # Go takes Local for the zone of the API server's machine.
                "self != 'Local' && timestamp('2000-01-01T00:00:00Z').getHours(self) >= 0",
                "timeZone must be a name of the IANA time zone database, such as Asia/Shanghai",
            )
        ),
    ] = "UTC"
    """IANA time zone of the schedule's local times, such as Asia/Shanghai."""
    preset: Preset | None = None
    """Predefined schedule.

    DayNightWeekend: 1 replica from 00:00 to 06:00 on every day, else 2 at the weekend, else 3.
    """
    default: ScaleBounds | None = None
    """Bounds when no exception and no window matches; `status.activeWindow` is then `default`."""
    windows: Annotated[tuple[Window, ...], Field(max_length=16), atomic(UNIQUE_WINDOWS)] = ()
    """Parts of the day or week with their own bounds; the first match is active."""
    exceptions: Annotated[tuple[CalendarException, ...], Field(max_length=64), atomic(UNIQUE_EXCEPTIONS)] = ()
    """Ranges of dates with their own bounds, such as holidays; the first match is active."""
    override: Override | None = None
    """Bounds for a limited time, above exceptions and windows; `status.activeWindow` is then `override`."""
    pre_warm_seconds: Annotated[int, Field(ge=0, le=3600)] | None = None
    """Time before a window with a higher minimum at which the minimum is raised.

    Default: the load time of the first model, which the operator measures (`status.loadSeconds` of the TTSModel), and
    at least its `spec.loadSeconds`.
    """
    wake_on_request: bool = False
    """Whether a request starts a replica while the schedule has none. The waker of the operator's chart holds it
    meanwhile. Anyone who reaches the endpoint can start the replica, with or without an API key."""
    max_wait_seconds: Annotated[int, Field(ge=1, le=600)] | None = None
    """Longest time for which a request is held until the replica is ready; then the answer is a 503. Default: 60."""
    wake_seconds: Annotated[int, Field(ge=60, le=86_400)] | None = None
    """Time from the request that starts the replica until the schedule's zero applies again. Default: 900."""

    @model_validator(mode="after")
    def parts_fit_together(self) -> Self:
        """Raises ValueError for what the rules of the schedule refuse, and for windows or exceptions of one name."""
        _check(self.preset is not None or self.default is not None, CONTENT_RULE)
        _check(self.preset is None or (self.default is None and not self.windows), PRESET_RULE)
        _check(self.wake_on_request or (self.max_wait_seconds is None and self.wake_seconds is None), WAKE_RULE)
        _check(self.longest_wait_seconds <= self.awake_seconds, WAIT_RULE)
        for rule, parts in ((UNIQUE_WINDOWS, self.windows), (UNIQUE_EXCEPTIONS, self.exceptions)):
            _check(_unique_names(parts), rule)
        return self

    @property
    def longest_wait_seconds(self) -> int:
        """Time for which the waker holds a request, with its default."""
        return MAX_WAIT_SECONDS if self.max_wait_seconds is None else self.max_wait_seconds

    @property
    def awake_seconds(self) -> int:
        """Duration of a wake, with its default."""
        return WAKE_SECONDS if self.wake_seconds is None else self.wake_seconds


def _unique_names(parts: Sequence[Window | CalendarException]) -> bool:
    return len({part.name for part in parts}) == len(parts)


def _check(holds: bool, rule: tuple[str, str]) -> None:
    if not holds:
        raise ValueError(rule[1])
