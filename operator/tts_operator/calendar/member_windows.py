"""Bounds by the clock of models after the first: those of the windows of the schedule, by name."""

from __future__ import annotations

from dataclasses import dataclass

from tts_operator.api import TenantModel
from tts_operator.calendar.bounds import Bounds


@dataclass(frozen=True, slots=True)
class MemberWindows:
    """Bounds of one model: those of the active window where it names some, else its own."""

    base: Bounds
    by_window: tuple[tuple[str, Bounds], ...] = ()

    @classmethod
    def of(cls, model: TenantModel) -> MemberWindows:
        """The bounds of an entry of `spec.models`."""
        minimum = 1 if model.min_replicas is None else model.min_replicas
        base = Bounds(minimum, minimum if model.max_replicas is None else model.max_replicas)
        windows = (
            (each.name, Bounds(each.min_replicas, each.max_replicas or each.min_replicas)) for each in model.windows
        )
        return cls(base, tuple(windows))

    def bounds(self, window: str) -> Bounds:
        """The bounds while this window of the schedule is active."""
        return next((bounds for name, bounds in self.by_window if name == window), self.base)

    def all(self) -> list[Bounds]:
        """Every bounds that the entry defines."""
        return [self.base, *(bounds for _, bounds in self.by_window)]
