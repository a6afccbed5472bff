"""Time since watches last worked, across sessions: a watch that has never worked is no younger for a new session."""

from collections.abc import Callable, Iterable

from tts_operator.telemetry.watch_activity import WatchActivity


class WatchAges:
    """Remembers when the watch of each URL path last worked. Times are monotonic, in seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._worked: dict[str, float] = {}

    def by_plural(self, activities: Iterable[WatchActivity]) -> dict[str, float]:
        """Seconds since the watches of each plural worked, or since they were first started: of the worst one."""
        now = self._monotonic()
        oldest: dict[str, float] = {}
        worked: dict[str, float] = {}
        for activity in activities:
            for path, at in activity.worked().items():
                worked[path] = max(at, self._worked.get(path, activity.started_at))
                plural = path.rpartition("/")[2]
                oldest[plural] = min(oldest.get(plural, now), worked[path])
        self._worked = worked
        return {plural: now - at for plural, at in oldest.items()}
