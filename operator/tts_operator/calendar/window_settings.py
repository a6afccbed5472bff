"""Settings of a window or an exception besides bounds: how HPAs follow the load, and the first model's precision."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tts_operator.api import Behavior, CalendarException, Schedule, Window
from tts_operator.api.precision import Precision
from tts_operator.calendar.calendar import next_change, state_at

LONGEST_ROLL = timedelta(hours=1)
"""Longest time before a window at which the rollout of its precision begins."""


@dataclass(frozen=True, slots=True)
class WindowPrecision:
    """Precision that pods should run now, by the window that asks for it."""

    precision: Precision | None
    """Unset: that of the model's entry."""
    window: str
    begins_at: datetime | None = None
    """When the rollout to another precision begins, if it is to begin before the next window opens."""


def part_named(schedule: Schedule | None, window: str) -> Window | CalendarException | None:
    """The window or exception of this name; of two the exception. None for the default, an override, and presets."""
    return next((part for part in _parts(schedule) if part.name == window), None)


def behavior_in(schedule: Schedule | None, window: str) -> Behavior | None:
    """The behavior while this window is active; None: that of `spec.autoscaling`."""
    part = part_named(schedule, window)
    return part.behavior if part else None


def precision_in(schedule: Schedule | None, window: str) -> Precision | None:
    """Precision of the first model while this window is active; None: that of its entry."""
    part = part_named(schedule, window)
    return part.precision if part else None


def has_precisions(schedule: Schedule | None) -> bool:
    """Whether some window has a precision of its own."""
    return any(part.precision for part in _parts(schedule))


def precisions_by_window(schedule: Schedule | None) -> list[tuple[str, Precision | None]]:
    """Precisions of the first model, by window: None, that of its entry, and those of windows and exceptions."""
    own = ((part.name, part.precision) for part in _parts(schedule) if part.precision is not None)
    return [("", None), *own]


def precision_at(schedule: Schedule | None, now: datetime, roll: timedelta) -> WindowPrecision:
    """The precision of the window that is active once a rollout of this length has ended.

    Pods of both precisions serve meanwhile. Raises UnknownTimeZone.
    """
    window = state_at(schedule, now).window
    change = next_change(schedule, now) if has_precisions(schedule) else None
    if change is None or precision_in(schedule, change.window) == precision_in(schedule, window):
        return WindowPrecision(precision_in(schedule, window), window)
    begins_at = change.at - min(roll, LONGEST_ROLL)
    if begins_at <= now:
        return WindowPrecision(precision_in(schedule, change.window), change.window)
    return WindowPrecision(precision_in(schedule, window), window, begins_at)


def _parts(schedule: Schedule | None) -> tuple[Window | CalendarException, ...]:
    return (*schedule.exceptions, *schedule.windows) if schedule else ()
