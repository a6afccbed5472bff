"""The calendar: a schedule and an instant give replica bounds, the window's name, and their next change.

Everything here is a pure function of its arguments. Semantics, where a schedule could be read in two ways:

- An instant belongs to a window by its local time in the schedule's time zone. A clock that is set back shows an hour
  twice, and a window in that hour opens twice; a clock that is set forward skips an hour (Samoa once skipped a day),
  and a window inside it does not open.
- A window that crosses midnight belongs to the day on which it starts, and `days` are those days. Its part after
  midnight belongs to the calendar's previous date, even if that date was skipped.
- Exceptions take precedence over windows, windows over the default; in each list the first match is active. An override
  takes precedence over all of them until it ends, and is as if it were not there from then on.
- Hours of an exception are those of each of its dates. Outside of them the date is one like any other.
- The state is the name of the window and its bounds. Two adjacent windows are a change even if their bounds are equal;
  a window that continues into its own next day (Saturday into Sunday) is none.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tts_operator.api import Schedule, Window
from tts_operator.calendar.bounds import DEFAULT_WINDOW, OVERRIDE_WINDOW, UNSCHEDULED, Bounds, Change, State

MINUTES_A_DAY = 24 * 60
WEEK = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
"""The names of `days`, in the order of `date.weekday()`."""
LAST_DATE = date.max - timedelta(days=2)
"""Last date that is evaluated: Python's dates end soon after, and no zone's offset may lead beyond them."""


class UnknownTimeZone(ValueError):  # noqa: N818 - errors of this project are named for what happened
    """The schedule names a time zone that the tz database of this process does not have."""


def state_at(schedule: Schedule | None, instant: datetime) -> State:
    """The state at an instant. Raises UnknownTimeZone; `instant` must be aware."""
    return UNSCHEDULED if schedule is None else Calendar.of(schedule).state_at(instant)


def next_change(schedule: Schedule | None, instant: datetime) -> Change | None:
    """The first change after `instant`, to the second; None if there never is one. Raises UnknownTimeZone."""
    return None if schedule is None else Calendar.of(schedule).next_change(instant)


def changes(schedule: Schedule | None, start: datetime, end: datetime) -> Iterator[Change]:
    """Every change after `start` and before `end`, in order. Raises UnknownTimeZone, before the first one."""
    return iter(()) if schedule is None else Calendar.of(schedule).changes(start, end)


def states(schedule: Schedule | None) -> list[State]:
    """Every state that the schedule defines. Raises UnknownTimeZone."""
    if schedule is None:
        return [UNSCHEDULED]
    calendar = Calendar.of(schedule)
    overridden = [] if calendar.override is None else [calendar.override.state]
    windows, exceptions = calendar.windows, calendar.exceptions
    return [
        calendar.default,
        *(each.state for each in windows),
        *(each.state for each in exceptions),
        *overridden,
    ]


def never_open(schedule: Schedule | None) -> list[str]:
    """A sentence for each window that earlier windows hide at every time of the week. Raises UnknownTimeZone."""
    if schedule is None:
        return []
    hidden = Calendar.of(schedule).hidden_windows()
    return [
        f"spec.schedule.windows[{position}], {window.name}, never opens: earlier windows always match first; move it up"
        for position, window in enumerate(schedule.windows)
        if position in hidden
    ]


def time_zone(name: str) -> ZoneInfo:
    """The zone of that IANA name. Raises UnknownTimeZone."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError for a directory of the database
        raise UnknownTimeZone(f"{name!r} is not an IANA time zone, such as Europe/Paris or UTC") from error


@dataclass(frozen=True, slots=True)
class _Window:
    """A window in minutes of the local day: [opens, closes), across midnight if it closes no later than it opens."""

    state: State
    days: frozenset[int]
    opens: int
    closes: int

    def is_active(self, weekday: int, minute: int) -> bool:
        if self.opens < self.closes:
            return self.opens <= minute < self.closes and weekday in self.days
        return (minute >= self.opens and weekday in self.days) or (
            minute < self.closes and (weekday - 1) % 7 in self.days
        )


@dataclass(frozen=True, slots=True)
class _Exception:
    """A range of local dates, both inclusive, and the minutes of these days: [opens, closes)."""

    state: State
    first: date
    last: date
    opens: int
    closes: int

    @property
    def whole_days(self) -> bool:
        return (self.opens, self.closes) == (0, MINUTES_A_DAY)

    def covers(self, day: date) -> bool:
        return self.first <= day <= self.last


@dataclass(frozen=True, slots=True)
class _Override:
    """A state that holds before an instant (UTC)."""

    state: State
    ends_at: datetime


PRESETS: dict[str, tuple[State, tuple[_Window, ...]]] = {
    "DayNightWeekend": (
        State("day", Bounds(3, 3)),
        (
            _Window(State("night", Bounds(1, 1)), frozenset(range(7)), 0, 6 * 60),
            _Window(State("weekend", Bounds(2, 2)), frozenset({5, 6}), 0, MINUTES_A_DAY),
        ),
    ),
}
"""Default and windows by preset."""


@dataclass(frozen=True)
class Calendar:
    """A parsed schedule, for repeated evaluation."""

    zone: ZoneInfo
    default: State
    windows: Sequence[_Window]
    exceptions: Sequence[_Exception]
    override: _Override | None = None

    @classmethod
    def of(cls, schedule: Schedule) -> Calendar:
        """Parse a schedule whose other fields the API server has validated. Raises UnknownTimeZone.

        An exception that refers to a TTSCalendar has no dates yet, and holds at no time: see `dates.with_dates`.
        """
        if schedule.preset is not None:
            default, windows = PRESETS[schedule.preset]
        else:
            default, windows = UNSCHEDULED, tuple(_window(window) for window in schedule.windows)
            if schedule.default is not None:
                default = _state(DEFAULT_WINDOW, schedule.default.min_replicas, schedule.default.max_replicas)
        exceptions = tuple(
            _Exception(
                _state(each.name, each.min_replicas, each.max_replicas),
                first=date.fromisoformat(each.from_),
                last=date.fromisoformat(each.to),
                opens=0 if each.start is None else _minute(each.start),
                closes=MINUTES_A_DAY if each.end is None else _minute(each.end),
            )
            for each in schedule.exceptions
            if each.from_ is not None and each.to is not None
        )
        override = None
        if (given := schedule.override) is not None:
            override = _Override(_state(OVERRIDE_WINDOW, given.min_replicas, given.max_replicas), given.ends_at)
        return cls(time_zone(schedule.time_zone), default, windows, exceptions, override)

    def state_at(self, instant: datetime) -> State:
        if instant.tzinfo is None:
            raise ValueError(f"{instant} has no time zone: an instant must be aware")
        if self.override is not None and instant < self.override.ends_at:
            return self.override.state
        local = instant.astimezone(self.zone)
        day, minute = local.date(), 60 * local.hour + local.minute
        for exception in self.exceptions:
            if exception.covers(day) and exception.opens <= minute < exception.closes:
                return exception.state
        return self._state_in_week(day.weekday(), minute)

    def next_change(self, instant: datetime) -> Change | None:
        now = self.state_at(instant)
        for candidate in self._candidates(instant):
            state = self.state_at(candidate)
            if state != now:
                return Change(candidate, state.window, state.bounds)
        return None

    def changes(self, start: datetime, end: datetime) -> Iterator[Change]:
        now = self.state_at(start)
        for candidate in self._candidates(start):
            if candidate >= end:
                return
            state = self.state_at(candidate)
            if state != now:
                now = state
                yield Change(candidate, state.window, state.bounds)

    def _changes_within(self, day: date) -> bool:
        """Whether the state may change within a local date."""
        covering = next((each for each in self.exceptions if each.covers(day)), None)
        if covering is None:
            return self._changes_within_a_week
        return not covering.whole_days

    def _state_in_week(self, weekday: int, minute: int) -> State:
        return next((window.state for window in self.windows if window.is_active(weekday, minute)), self.default)

    def hidden_windows(self) -> set[int]:
        """Positions of the windows that are not the first match at any minute of a week."""
        first = {
            next((position for position, window in enumerate(self.windows) if window.is_active(day, minute)), None)
            for day in range(7)
            for minute in self._minutes
        }
        return set(range(len(self.windows))) - {position for position in first if position is not None}

    @cached_property
    def _minutes(self) -> tuple[int, ...]:
        """Minutes of a local day at which some window or exception may open or close."""
        spans = [(each.opens, each.closes) for each in self.windows]
        spans += [(each.opens, each.closes) for each in self.exceptions]
        return tuple(sorted({0} | {edge % MINUTES_A_DAY for span in spans for edge in span}))

    @cached_property
    def _changes_within_a_week(self) -> bool:
        """Whether windows change the state: not if there are none, or if one is always active and hides the rest."""
        monday = self._state_in_week(0, 0)
        return any(self._state_in_week(day, minute) != monday for day in range(7) for minute in self._minutes)

    def _candidates(self, after: datetime) -> Iterator[datetime]:
        """Every instant after `after` at which the state may change, in order and in UTC.

        The state is a function of local time, constant between the edges of windows and exceptions. So it changes only
        at an edge, or where the clock jumps over one: each edge yields the instants at which the local clock shows it,
        and the jump nearby if it is shown twice or never. The caller checks whether the state changes there by
        converting from UTC to local time, which is unambiguous.
        """
        waiting: list[datetime] = []
        last = after = after.astimezone(UTC)
        if self.override is not None and self.override.ends_at > after:
            # Nothing changes before it ends, and then the calendar is as if it had never been there.
            yield (last := self.override.ends_at)
        for day in self._days_with_edges(last.astimezone(self.zone).date()):
            # Offsets from UTC are shorter than a day: nothing on this date happens before this.
            safe = datetime.combine(day, time(), UTC) - timedelta(days=1)
            while waiting and waiting[0] <= safe:
                if (instant := heapq.heappop(waiting)) > last:
                    yield (last := instant)
            for minute in self._minutes:
                edge = datetime.combine(day, time(minute // 60, minute % 60))
                for instant in _instants(edge, self.zone):
                    heapq.heappush(waiting, instant)
        while waiting:
            if (instant := heapq.heappop(waiting)) > last:
                yield (last := instant)

    def _days_with_edges(self, today: date) -> Iterator[date]:
        """Local dates with a possible edge, in order, from the day before `today`.

        They start with the day before because a clock that is set back over midnight shows yesterday's edges again.
        Dates on which an exception holds all day are skipped, and so are all others if windows never change the state.
        """
        one_day = timedelta(days=1)
        borders = sorted(
            {each.first for each in self.exceptions}
            | {each.last + one_day for each in self.exceptions if each.last < LAST_DATE}
        )
        day = today - one_day
        while day <= LAST_DATE:
            yield day
            if self._changes_within(day):
                day += one_day
                continue
            border = next((border for border in borders if border > day), None)
            if border is None:
                return
            day = border


def _instants(edge: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Instants (UTC) at which the local clock of `zone` shows `edge`; if it is shown twice or never, also the jump."""
    earlier, later = sorted(edge.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    yield earlier
    if earlier == later:
        return
    yield later
    # PEP 495: a repeated or skipped time has two interpretations, by the offset before the jump and by that after it.
    # The jump is between them, on a whole second.
    offset = earlier.astimezone(zone).utcoffset()
    seconds = range(int((later - earlier).total_seconds()) + 1)
    yield earlier + timedelta(
        seconds=bisect_left(
            seconds,
            True,
            key=lambda second: (earlier + timedelta(seconds=second)).astimezone(zone).utcoffset() != offset,
        )
    )


def _state(name: str, min_replicas: int, max_replicas: int | None) -> State:
    return State(name, Bounds(min_replicas, min_replicas if max_replicas is None else max_replicas))


def _window(window: Window) -> _Window:
    return _Window(
        _state(window.name, window.min_replicas, window.max_replicas),
        days=frozenset(WEEK.index(day) for day in window.days or WEEK),
        opens=0 if window.start is None else _minute(window.start),
        closes=MINUTES_A_DAY if window.end is None else _minute(window.end),
    )


def _minute(clock: str) -> int:
    hours, minutes = clock.split(":")
    return 60 * int(hours) + int(minutes)
