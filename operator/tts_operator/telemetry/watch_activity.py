"""Activity of watches. Each is opened anew every few seconds and ended by the API server, so silence means trouble."""

from collections.abc import Callable, Collection

SILENCE_SECONDS = 9.0
"""Longest time that a working watch goes without a request and without an orderly end, seconds."""
NEVER = float("-inf")


class WatchActivity:
    """Last requests and last orderly ends of the watches of one session, by URL path. Times are monotonic, in seconds.

    An end counts, and an opened watch does not: a connection can be opened, and stay open, without delivering
    anything. Only with `trusting` does the first opening count: a new process is ready before its watches have ended.

    One thread writes and another reads: each update is one assignment.
    """

    def __init__(self, paths: Collection[str], monotonic: Callable[[], float], *, trusting: bool = False) -> None:
        self._monotonic = monotonic
        self._trusting = trusting
        self.started_at = monotonic()
        self._requested = dict.fromkeys(paths, self.started_at)
        self._opened = dict.fromkeys(paths, NEVER)
        self._worked = dict.fromkeys(paths, NEVER)

    def requested(self, path: str) -> None:
        if path in self._requested:
            self._requested[path] = self._monotonic()

    def opened(self, path: str) -> None:
        if path in self._opened:
            first = self._opened[path] == NEVER
            self._opened[path] = self._monotonic()
            if first and self._trusting:
                self._worked[path] = self._opened[path]

    def ended(self, path: str) -> None:
        if path in self._worked:
            self._worked[path] = self._monotonic()

    def worked(self) -> dict[str, float]:
        """Time at which each watch was last seen to work; `NEVER` for one that has not worked yet."""
        return dict(self._worked)

    def silent(self) -> list[str]:
        """Paths without a working watch, for whatever reason."""
        now = self._monotonic()
        return sorted(path for path, at in self._worked.items() if now - at > SILENCE_SECONDS)

    def hanging(self, patience_seconds: float = SILENCE_SECONDS) -> list[str]:
        """Paths that only a new session can help: nothing asks for them, or their watches open and deliver nothing.

        A path whose requests fail is not among them: the session repeats those.
        """
        earliest = self._monotonic() - patience_seconds
        unasked = {path for path, at in self._requested.items() if at < earliest}
        mute = {
            path
            for path, at in self._opened.items()
            if at >= earliest and max(self._worked[path], self.started_at) < earliest
        }
        return sorted(unasked | mute)
