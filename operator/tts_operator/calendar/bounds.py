"""Values that the calendar computes: bounds, states and changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Bounds:
    """Minimum and maximum number of replicas; both are 0 for an endpoint that is scaled to zero."""

    min_replicas: int
    max_replicas: int

    def capped(self, most: int) -> Bounds:
        """The bounds, lowered to a ceiling."""
        return Bounds(min(self.min_replicas, most), min(self.max_replicas, most))


@dataclass(frozen=True, slots=True)
class State:
    """State at an instant: the name of the active window, exception or default, and its bounds."""

    window: str
    bounds: Bounds


@dataclass(frozen=True, slots=True)
class Change:
    """From `at` on (UTC), `window` and its `bounds` hold."""

    at: datetime
    window: str
    bounds: Bounds


DEFAULT_WINDOW = "default"
OVERRIDE_WINDOW = "override"
WAKE_WINDOW = "wake"
UNSCHEDULED = State(DEFAULT_WINDOW, Bounds(1, 1))
"""State without a schedule, or without a default in it: one replica."""
