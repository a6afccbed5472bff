"""State of one list-and-watch, as a pure function of what happens to it.

+-- list --> listed at V --> watch from V --+
|                              ^    |       |  the server ends it every few seconds,
|                              +----+       |  an error that says nothing about V: from the last version seen
+------------- V is too old, or gone <------+
"""

from dataclasses import dataclass
from enum import Enum

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 2.0
"""Limit of the pause between two attempts: watching goes on within 10 s, also after a watch that hung for 6 s."""
LONGEST_RETRY_AFTER_SECONDS = 8.0
"""Limit of the pause that a server asks for."""


class Failure(Enum):
    """Errors of a list or a watch, by what they say about the version that it began from."""

    GONE = "gone"
    """It is too old (410), the kind itself was gone in between (404), or the event after it is too large to be read."""
    OTHER = "other"
    """Nothing: the server is away or overloaded, refuses everybody, or the connection broke."""


@dataclass(frozen=True)
class WatchState:
    """Progress of a list-and-watch."""

    version: str = ""
    """resourceVersion to watch from; empty: list first."""
    failures: int = 0
    """Failures since a watch has last delivered something, or ended in good order."""
    pause_seconds: float = 0.0
    """Time to wait before the next request."""

    @property
    def must_list(self) -> bool:
        """Whether a list comes next, and not a watch."""
        return not self.version

    def listed(self, version: str) -> "WatchState":
        """State after a complete list of this version. It is no success yet: the watch that follows may fail again."""
        return WatchState(version, self.failures)

    def saw(self, version: str) -> "WatchState":
        """State after an event or a bookmark of this version; nothing changes without one."""
        return WatchState(version) if version else self

    def ended(self) -> "WatchState":
        """State after the server ended the watch in good order."""
        return WatchState(self.version)

    def failed(self, failure: Failure, retry_after_seconds: float = 0.0) -> "WatchState":
        """State after an error. The server may ask to wait."""
        doubled = FIRST_PAUSE_SECONDS * 2.0 ** min(self.failures, 16)
        pause = max(min(doubled, LONGEST_PAUSE_SECONDS), min(retry_after_seconds, LONGEST_RETRY_AFTER_SECONDS))
        return WatchState("" if failure is Failure.GONE else self.version, self.failures + 1, pause)

    def relist(self) -> "WatchState":
        """State from which everything is listed again."""
        return WatchState()
