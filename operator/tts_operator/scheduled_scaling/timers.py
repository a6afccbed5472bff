"""When each tenant's schedule next changes: one heap, and no timer per tenant."""

import asyncio
import heapq
from collections.abc import Callable, Hashable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from tts_operator.clock import Clock

K = TypeVar("K", bound=Hashable)

LONGEST_NAP_SECONDS = 5.0
"""Someone may set the wall clock: it is read again at least this often."""


class TransitionTimers(Generic[K]):
    """Instants on the wall clock, one per key. Losing one loses nothing: every reconcile sets its own again."""

    def __init__(self) -> None:
        self._at: dict[K, datetime] = {}
        self._heap: list[tuple[datetime, int, K]] = []  # entries that _at no longer confirms are void
        self._sequence = 0  # breaks ties, so that keys need no order
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._at)

    def set(self, key: K, at: datetime | None) -> None:
        """Remember when this key is next due, instead of what was remembered; None forgets it."""
        if self._at.get(key) == at:
            return
        if at is None:
            del self._at[key]
            return
        self._at[key] = at
        self._sequence += 1
        heapq.heappush(self._heap, (at, self._sequence, key))
        self._changed.set()

    def due(self, now: datetime) -> list[tuple[datetime, K]]:
        """What has come by now, earliest first; it is forgotten."""
        found: list[tuple[datetime, K]] = []
        while self._heap and self._heap[0][0] <= now:
            at, _, key = heapq.heappop(self._heap)
            if self._at.get(key) == at:
                del self._at[key]
                found.append((at, key))
        return found

    def next(self) -> datetime | None:
        """The earliest instant that is still to come."""
        while self._heap and self._at.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    async def run(self, clock: Clock, begin: Callable[[K, timedelta], None]) -> None:
        """Call `begin` with each key as its instant comes, never before it, and with how late that is."""
        while True:
            self._changed.clear()
            now = clock.now()
            for at, key in self.due(now):
                begin(key, now - at)
            next_requeue = self.next()
            nap_seconds = LONGEST_NAP_SECONDS
            if next_requeue is not None:
                nap_seconds = min(nap_seconds, max((next_requeue - clock.now()).total_seconds(), 0.0))
            try:
                async with asyncio.timeout(nap_seconds):
                    await self._changed.wait()
            except TimeoutError:
                continue
