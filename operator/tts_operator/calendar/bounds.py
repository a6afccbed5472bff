"""Values of the calendar: bounds, state and change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Bounds:
    """How few and how many replicas there may be. Both 0: scaled away."""

    min_replicas: int
    max_replicas: int


@dataclass(frozen=True, slots=True)
class State:
    """What holds at an instant: the name of the window, exception or default that matched, and its bounds."""

    window: str
    bounds: Bounds


@dataclass(frozen=True, slots=True)
class Change:
    """From `at` on (UTC), `window` and its `bounds` hold."""

    at: datetime
    window: str
    bounds: Bounds


DEFAULT_WINDOW = "default"
UNSCHEDULED = State(DEFAULT_WINDOW, Bounds(1, 1))
"""Without a schedule, or without a default in it: one replica, fixed."""
