"""Zero replicas: whether a schedule has them, when they end, and the wake that interrupts them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tts_operator.api import Schedule
from tts_operator.calendar.bounds import WAKE_WINDOW, Bounds, Change, State
from tts_operator.calendar.calendar import changes, state_at, states
from tts_operator.calendar.pre_warm import PreWarmed

ZERO = Bounds(0, 0)
AWAKE = Bounds(1, 1)
"""Bounds during a wake: one replica, however many requests wait for it."""
HORIZON = timedelta(days=400)
"""Longest time ahead at which the end of zero is looked for: a schedule of a year shows itself whole."""
CLOCK_SKEW = timedelta(minutes=1)
"""A request for a wake from further in the future than this is not believed."""


@dataclass(frozen=True, slots=True)
class Awake:
    """State, next change and bounds of a schedule, with the wake that interrupts its zero."""

    window: State
    change: Change | None
    warmed: PreWarmed
    ends_at: datetime | None = None
    """End of the wake; None where none is in effect."""


def has_zero(schedule: Schedule | None) -> bool:
    """Whether the schedule has no replicas at some time. Raises UnknownTimeZone."""
    return any(state.bounds.max_replicas == 0 for state in states(schedule))


def wakes_at(schedule: Schedule | None, now: datetime) -> datetime | None:
    """The next instant at which a schedule without replicas has some again; None if there is none within a year.

    Raises UnknownTimeZone.
    """
    upcoming = changes(schedule, now, now + HORIZON)
    return next((change.at for change in upcoming if change.bounds.max_replicas > 0), None)


def wake_ends_at(schedule: Schedule | None, requested_at: datetime | None, now: datetime) -> datetime | None:
    """End of the wake that this request began; None if it is over, or no request may wake the schedule."""
    if schedule is None or not schedule.wake_on_request or requested_at is None or requested_at > now + CLOCK_SKEW:
        return None
    ends_at = min(requested_at, now) + timedelta(seconds=schedule.awake_seconds)
    return ends_at if ends_at > now else None


def awake(schedule: Schedule | None, scheduled: Awake, requested_at: datetime | None, now: datetime) -> Awake:
    """The schedule's state, with the wake in effect where it has no replicas. Raises UnknownTimeZone."""
    ends_at = wake_ends_at(schedule, requested_at, now)
    if ends_at is None or scheduled.window.bounds.max_replicas > 0:
        return scheduled
    change, warmed = scheduled.change, scheduled.warmed
    after = state_at(schedule, ends_at)
    end = Change(ends_at, after.window, after.bounds)
    if change is not None and change.at <= ends_at and change.bounds.max_replicas > 0:
        end = change
    raised = warmed if warmed.bounds.max_replicas > 0 else replace(warmed, bounds=AWAKE)
    return Awake(State(WAKE_WINDOW, AWAKE), end, raised, ends_at)
