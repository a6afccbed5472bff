"""Work queue of keys to reconcile, first in, first out.

It has two lanes. Keys of changed specs and of schedule transitions are in the first; keys of events that follow from
them, such as a child's status or the resync, are in the second, which is served while the first is empty. So when the
night window of two hundred tenants opens, all of them change their bounds before their children's events are handled.

Otherwise it works like client-go's ``util/workqueue``, on one event loop instead of many threads:

- A key is queued at most once, however often it is added.
- A key that is being processed is not handed out again; if it is added meanwhile, it is queued after that.
- A delayed key is queued when its delay has passed; the shortest of several delays applies.
- A failed key is queued after a delay that doubles each time, until it is forgotten; an event ends the delay.
"""

import asyncio
import heapq
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff of failed keys: ``first_seconds``, doubled each time, up to ``longest_seconds``."""

    first_seconds: float = 0.5
    longest_seconds: float = 120.0

    def seconds(self, failures: int) -> float:
        """Delay before the next attempt, after this many consecutive failures (at least one)."""
        doublings = min(failures - 1, 32)  # avoids an overflow
        return min(self.first_seconds * 2.0**doublings, self.longest_seconds)


class Closed(Exception):  # noqa: N818 - an expected outcome, not an error
    """The queue was closed."""


class WorkQueue(Generic[K]):
    """A queue of distinct keys for one event loop, with the loop's clock."""

    def __init__(self, backoff: Backoff | None = None) -> None:
        self._backoff = backoff or Backoff()
        # Keys of each lane in the order of insertion, with the time at which they were queued.
        self._first: dict[K, float] = {}
        self._second: dict[K, float] = {}
        self._processing: set[K] = set()
        self._again: dict[K, bool] = {}  # added while being processed; True: for the first lane
        self._due: dict[K, float] = {}
        self._delays: list[tuple[float, int, K]] = []  # a heap; entries that differ from _due are obsolete
        self._sequence = 0  # breaks ties: keys need no order
        self._failures: dict[K, int] = {}
        self._waiters: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def __len__(self) -> int:
        """Number of queued keys, without delayed ones."""
        return len(self._first) + len(self._second)

    def oldest_wait_seconds(self) -> float:
        """Time for which the oldest key has been queued; 0 without keys."""
        now = self._now()
        return now - min((*self._first.values(), *self._second.values()), default=now)

    def add(self, key: K) -> None:
        """Queue a key in the first lane; one in the second lane moves."""
        self._add(key, first=True)

    def add_after(self, key: K, seconds: float) -> None:
        """Queue a key in the second lane after a delay, unless it is queued before."""
        if self._closed or key in self._first or key in self._second or key in self._again:
            return
        if seconds <= 0:
            self._add(key, first=False)
            return
        at = self._now() + seconds
        if at < self._due.get(key, float("inf")):
            self._due[key] = at
            self._sequence += 1
            heapq.heappush(self._delays, (at, self._sequence, key))
            self._set_timer()

    def retry(self, key: K) -> None:
        """Queue a failed key after its backoff."""
        self._failures[key] = self._failures.get(key, 0) + 1
        self.add_after(key, self._backoff.seconds(self._failures[key]))

    def forget(self, key: K) -> None:
        """Reset a key's backoff after a success."""
        self._failures.pop(key, None)

    def failing(self, key: K) -> bool:
        """Whether the last attempt at a key failed."""
        return key in self._failures

    async def get(self) -> K:
        """Wait for the next key. The caller must call `done` when it is processed. Raises Closed."""
        while not self._first and not self._second:
            if self._closed:
                raise Closed
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake_one()  # this waiter was woken for a key: wake another one
                raise
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
        if self._closed:
            raise Closed
        lane = self._first or self._second
        key = next(iter(lane))
        del lane[key]
        self._processing.add(key)
        return key

    def done(self, key: K) -> None:
        """Mark a key as processed; it is queued again if it was added meanwhile."""
        self._processing.discard(key)
        if key in self._again:
            self._add(key, first=self._again.pop(key))

    def close(self) -> None:
        """Hand out no more keys: `get` raises Closed."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _add(self, key: K, *, first: bool) -> None:
        if self._closed:
            return
        self._due.pop(key, None)
        if key in self._processing:
            self._again[key] = first or self._again.get(key, False)
        elif key in self._second and first:
            self._first[key] = self._second.pop(key)
        elif key not in self._first and key not in self._second:
            (self._first if first else self._second)[key] = self._now()
            self._wake_one()

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.pop(0)
            if not waiter.done():
                waiter.set_result(None)
                return

    def _set_timer(self) -> None:
        """Re-arm the single timer for the earliest delayed key."""
        while self._delays and self._due.get(self._delays[0][2]) != self._delays[0][0]:
            heapq.heappop(self._delays)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._delays:
            self._timer = asyncio.get_running_loop().call_at(self._delays[0][0], self._release_due)

    def _release_due(self) -> None:
        # The loop may call a timer early, by up to its clock's resolution: the earliest key is due in any case.
        horizon = max(self._now(), self._delays[0][0])
        while self._delays and self._delays[0][0] <= horizon:
            at, _, key = heapq.heappop(self._delays)
            if self._due.get(key) == at:
                self._add(key, first=False)
        self._timer = None
        self._set_timer()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
