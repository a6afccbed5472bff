"""Timers for the next requeue of every tenant: one heap, and no task per tenant."""

import asyncio
import heapq
from collections.abc import Callable, Hashable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from tts_operator.clock import Clock

K = TypeVar("K", bound=Hashable)

MAX_SLEEP_SECONDS = 5.0
"""Longest sleep, seconds: the wall clock is read again then, because someone may have set it."""
APPROACH = timedelta(seconds=2)
"""Time before an instant at which what it needs is made ready."""


class TransitionTimers(Generic[K]):
    """Instants on the wall clock, one per key. Every reconcile sets its own again, so none must be persisted."""

    def __init__(self) -> None:
        self._at: dict[K, datetime] = {}
        self._heap: list[tuple[datetime, int, K]] = []  # entries that differ from _at are obsolete
        self._sequence = 0  # breaks ties: keys need no order
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._at)

    def set(self, key: K, at: datetime | None) -> None:
        """Set or replace the instant of a key; None removes it."""
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
        """Remove and return the keys that are due, earliest first."""
        due: list[tuple[datetime, K]] = []
        while self._heap and self._heap[0][0] <= now:
            at, _, key = heapq.heappop(self._heap)
            if self._at.get(key) == at:
                del self._at[key]
                due.append((at, key))
        return due

    def next(self) -> datetime | None:
        """Earliest instant of any key; None without keys."""
        while self._heap and self._at.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    async def run(
        self,
        clock: Clock,
        begin: Callable[[K, timedelta], None],
        approaching: Callable[[], None] = lambda: None,
    ) -> None:
        """Call `begin` with each key at its instant, never earlier, and with its delay. Never returns.

        `approaching` is called once for each instant, up to APPROACH before it.
        """
        announced: datetime | None = None
        while True:
            self._changed.clear()
            now = clock.now()
            for at, key in self.due(now):
                begin(key, now - at)
            earliest = self.next()
            sleep_seconds = MAX_SLEEP_SECONDS
            if earliest is not None:
                left = earliest - clock.now()
                if left <= APPROACH and announced != earliest:
                    announced = earliest
                    approaching()
                until = left if announced == earliest else left - APPROACH
                sleep_seconds = min(sleep_seconds, max(until.total_seconds(), 0.0))
            try:
                async with asyncio.timeout(sleep_seconds):
                    await self._changed.wait()
            except TimeoutError:
                continue
