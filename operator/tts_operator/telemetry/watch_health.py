"""Health of the watches: a stream can stop delivering events without an error.

Every watched kind is listed periodically. If the watch of a kind has not delivered the newest object of its list after
a grace period, that watch is stale. resourceVersions of one kind are decimal numbers that only increase (KEP-5504).
"""

from tts_operator.objects.fields import decimal

GRACE_SECONDS = 20.0
"""Maximum delay of a watch behind a list, seconds."""


class WatchHealth:
    """Compares the newest object that each watch delivered with the newest that exists, by name of the kind."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}
        self._missing: dict[str, tuple[int, float]] = {}

    def reset(self) -> None:
        """Forget every version: the API server's storage was restored from an older copy, and counts from there."""
        self._seen.clear()
        self._missing.clear()

    def saw(self, kind: str, version: str) -> None:
        """Record that the watch delivered an object of this resourceVersion."""
        self._seen[kind] = max(self._seen.get(kind, 0), decimal(version))

    def exists(self, kind: str, version: str, now: float) -> None:
        """Record that a list contained an object of this resourceVersion, at this monotonic time in seconds."""
        newest = decimal(version)
        if newest > self._seen.get(kind, 0) and kind not in self._missing:
            self._missing[kind] = (newest, now)

    def stale(self, now: float) -> list[str]:
        """Kinds whose watch has not delivered an existing object within GRACE_SECONDS."""
        delivered = [kind for kind, (newest, _) in self._missing.items() if self._seen.get(kind, 0) >= newest]
        for kind in delivered:
            del self._missing[kind]
        return sorted(kind for kind, (_, since) in self._missing.items() if now - since > GRACE_SECONDS)
