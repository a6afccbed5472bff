"""Ports of the waker: each tenant whose schedule has a zero gets one, and keeps it as long as it has a zero."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tts_operator.objects.keys import Key

QUARANTINE_SECONDS = 300.0
"""Time for which a port that was freed belongs to nobody else.

A waker that has not heard of it passes what arrives there on to the pods of the tenant that had it, with callers' keys.
"""
MOST_OF_A_NAMESPACE = 256
"""Most ports of the tenants of one namespace: a team cannot take those of the others."""


class Freed(NamedTuple):
    """A port that was freed: by whom, and when."""

    namespace: str
    uid: str
    at_seconds: float


def candidates(uid: str, first: int, count: int) -> Iterator[int]:
    """Every port of the range, beginning with the one that the tenant's UID points at."""
    start = int.from_bytes(hashlib.sha256(uid.encode()).digest()[:8]) % count
    return (first + (start + step) % count for step in range(count))


class PortTable:
    """Ports by tenant. The record of a port is `status.waker.port` of its tenant, which only the operator writes."""

    def __init__(self, first: int, count: int, monotonic: Callable[[], float]) -> None:
        self._first = first
        self._count = count
        self._monotonic = monotonic
        self._holders: dict[int, tuple[Key, str]] = {}
        self._ports: dict[Key, tuple[str, int]] = {}
        self._freed: dict[int, Freed] = {}
        self._of_namespace: Counter[str] = Counter()

    def claim(self, key: Key, uid: str, recorded: int | None) -> int | None:
        """The port of a tenant: the one that it has, else the recorded one, else a free one. None if there is none.

        A recorded port that another tenant holds, as after a restore from a backup, is given up for another one.
        """
        held = self._ports.get(key)
        if held is not None and held[0] == uid:
            return held[1]
        self.release(key)
        wanted = [recorded] if recorded is not None and 0 <= recorded - self._first < self._count else []
        if self._taken_by(key.namespace) < MOST_OF_A_NAMESPACE:
            wanted += candidates(uid, self._first, self._count)
        for port in wanted:
            if port not in self._holders and not self._is_quarantined(port, uid):
                self._freed.pop(port, None)
                self._holders[port] = (key, uid)
                self._ports[key] = (uid, port)
                self._of_namespace[key.namespace] += 1
                return port
        return None

    def release(self, key: Key) -> None:
        """Free the port of a tenant that is gone, or has no zero any more."""
        held = self._ports.pop(key, None)
        if held is not None:
            uid, port = held
            del self._holders[port]
            self._of_namespace[key.namespace] -= 1
            self._freed[port] = Freed(key.namespace, uid, self._monotonic())

    def _taken_by(self, namespace: str) -> int:
        """Number of ports that a namespace has, or keeps from others: those that it freed a moment ago."""
        rests = sum(each.namespace == namespace and self._rests(each) for each in self._freed.values())
        return self._of_namespace[namespace] + rests

    def _rests(self, freed: Freed) -> bool:
        return self._monotonic() - freed.at_seconds < QUARANTINE_SECONDS

    def _is_quarantined(self, port: int, uid: str) -> bool:
        freed = self._freed.get(port)
        return freed is not None and freed.uid != uid and self._rests(freed)
