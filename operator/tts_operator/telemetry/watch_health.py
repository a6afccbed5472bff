"""Whether the watches still tell what happens: a stream can die without a word.

From time to time everything is listed. If the newest object in a list has still not been seen by the watch of its kind
some seconds later, that watch is dead. resourceVersions of one kind are decimal numbers that only grow (KEP-5504).
"""

from tts_operator.objects.fields import decimal

GRACE_SECONDS = 20.0
"""How long a watch may take to deliver what a list already shows."""


class WatchHealth:
    """What each watch has delivered, against what there is. Kinds are compared by name only."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}
        self._missing: dict[str, tuple[int, float]] = {}

    def saw(self, kind: str, version: str) -> None:
        """The watch delivered an object of this resourceVersion."""
        self._seen[kind] = max(self._seen.get(kind, 0), decimal(version))

    def exists(self, kind: str, version: str, now: float) -> None:
        """A list showed an object of this resourceVersion, at this monotonic time in seconds."""
        newest = decimal(version)
        if newest > self._seen.get(kind, 0) and kind not in self._missing:
            self._missing[kind] = (newest, now)

    def stale(self, now: float) -> list[str]:
        """The kinds whose watch has not delivered in time what exists."""
        delivered = [kind for kind, (newest, _) in self._missing.items() if self._seen.get(kind, 0) >= newest]
        for kind in delivered:
            del self._missing[kind]
        return sorted(kind for kind, (_, since) in self._missing.items() if now - since > GRACE_SECONDS)
