"""Ports of the waker: each tenant whose schedule has a zero gets one, and keeps it as long as it has a zero."""

import hashlib
from collections.abc import Iterator

from tts_operator.objects.keys import Key


def candidates(uid: str, first: int, count: int) -> Iterator[int]:
    """Every port of the range, beginning with the one that the tenant's UID points at."""
    start = int.from_bytes(hashlib.sha256(uid.encode()).digest()[:8]) % count
    return (first + (start + step) % count for step in range(count))


class PortTable:
    """Ports by tenant. The record of a port is `status.waker.port` of its tenant, which only the operator writes."""

    def __init__(self, first: int, count: int) -> None:
        self._first = first
        self._count = count
        self._holders: dict[int, tuple[Key, str]] = {}
        self._ports: dict[Key, tuple[str, int]] = {}
        self._used: set[int] = set()

    def claim(self, key: Key, uid: str, recorded: int | None) -> int | None:
        """The port of a tenant: the one that it has, else the recorded one, else a free one. None if all are taken.

        A recorded port that another tenant holds, as after a restore from a backup, is given up for another one.
        """
        held = self._ports.get(key)
        if held is not None and held[0] == uid:
            return held[1]
        self.release(key)
        wanted = [recorded] if recorded is not None and 0 <= recorded - self._first < self._count else []
        free = [each for each in candidates(uid, self._first, self._count) if each not in self._holders]
        free.sort(key=lambda each: each in self._used)  # requests may still be on their way to a port that was released
        for port in (*(each for each in wanted if each not in self._holders), *free):
            self._holders[port] = (key, uid)
            self._ports[key] = (uid, port)
            self._used.add(port)
            return port
        return None

    def release(self, key: Key) -> None:
        """Free the port of a tenant that is gone, or has no zero any more."""
        held = self._ports.pop(key, None)
        if held is not None:
            del self._holders[held[1]]
