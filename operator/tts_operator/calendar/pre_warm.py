"""Pre-warming: replicas of a window that needs more of them are started some time before it opens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from tts_operator.api import Schedule
from tts_operator.calendar.bounds import Bounds, Change, State
from tts_operator.calendar.calendar import changes, next_change, state_at
from tts_operator.calendar.member_windows import MemberWindows


@dataclass(frozen=True, slots=True)
class PreWarmed:
    """Bounds at an instant, with those of the windows that open soon."""

    bounds: Bounds
    """The minimum is the highest of now and of what opens soon; the maximum is at least as high."""
    window: Change | None = None
    """The window that the minimum is raised for; None where it is that of the present window."""
    changes_at: datetime | None = None
    """When the next pre-warming begins, if that is before the next window opens."""


def pre_warm(
    schedule: Schedule | None, now: datetime, lead_seconds: int, most: int, member: MemberWindows | None = None
) -> PreWarmed:
    """Bounds of a pool of at most `most` replicas that starts its replicas so many seconds early.

    A minimum is never lowered early, and a maximum is never raised above what the minimum needs. `member`: bounds of a
    model after the first. Raises UnknownTimeZone.
    """

    def bounds_of(active: State | Change) -> Bounds:
        return (active.bounds if member is None else member.bounds(active.window)).capped(most)

    bounds = bounds_of(state_at(schedule, now))
    lead = timedelta(seconds=lead_seconds)
    highest, window = bounds.min_replicas, None
    for change in changes(schedule, now, now + lead + timedelta(microseconds=1)):
        minimum = bounds_of(change).min_replicas
        if minimum > highest:
            highest, window = minimum, change
    begins_at = _next_beginning(schedule, now, lead, lambda change: bounds_of(change).min_replicas > highest)
    return PreWarmed(Bounds(highest, max(bounds.max_replicas, highest)), window, begins_at)


def _next_beginning(
    schedule: Schedule | None, now: datetime, lead: timedelta, raises: Callable[[Change], bool]
) -> datetime | None:
    """When a pre-warming beyond the present minimum begins, if that is before the next window opens."""
    opens = next_change(schedule, now)
    if opens is None or not lead:
        return None
    upcoming = changes(schedule, now + lead, opens.at + lead + timedelta(microseconds=1))
    raising = next((change for change in upcoming if raises(change)), None)
    return None if raising is None else raising.at - lead
