"""The work queue: what must be looked at again, each key once, in the order in which it came.

There are two lanes. What somebody asked for, a person or the calendar, goes first; what only follows from it, such as
a child that reports its state, or the periodic list, waits until the first lane is empty. So two hundred tenants whose
night begins together all change their bounds before anything looks at what the first of them came to.

Its rules are those of client-go's ``util/workqueue``, on one event loop instead of many threads:

- A key waits at most once, however often it is added.
- A key that is being processed is not handed out a second time; if it is added meanwhile, it waits again after that.
- A delayed key comes when its delay is over; of several delays the shortest holds.
- A key that failed comes back after a delay that doubles each time, until it is forgotten; an event cuts that short.
"""

import asyncio
import heapq
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Backoff:
    """How long a failed key waits: ``first_seconds``, then twice as long each time, up to ``longest_seconds``."""

    first_seconds: float = 0.5
    longest_seconds: float = 120.0

    def seconds(self, failures: int) -> float:
        """Before the attempt that follows this many failures in a row, at least one."""
        doublings = min(failures - 1, 32)  # beyond that a float gains nothing
        return min(self.first_seconds * 2.0**doublings, self.longest_seconds)


class Closed(Exception):  # noqa: N818 - it is an answer, not an error
    """The queue hands out nothing more."""


class WorkQueue(Generic[K]):
    """A keyed queue for one event loop; time is the loop's."""

    def __init__(self, backoff: Backoff | None = None) -> None:
        self._backoff = backoff or Backoff()
        # Of each lane insertion order is the order of service; the value is when the key came.
        self._first: dict[K, float] = {}
        self._second: dict[K, float] = {}
        self._processing: set[K] = set()
        self._again: dict[K, bool] = {}  # added while processing, and whether for the first lane
        self._due: dict[K, float] = {}
        self._delays: list[tuple[float, int, K]] = []  # a heap; entries that _due no longer confirms are void
        self._sequence = 0  # breaks ties, so that keys need no order
        self._failures: dict[K, int] = {}
        self._waiters: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def __len__(self) -> int:
        """Keys that could be handed out now."""
        return len(self._first) + len(self._second)

    def oldest_wait_seconds(self) -> float:
        """How long the key that has waited longest has been waiting; 0 if none is."""
        return self._now() - min((*self._first.values(), *self._second.values()), default=self._now())

    def add(self, key: K) -> None:
        """Have it looked at as soon as possible: in the first lane, also if it waits in the second one."""
        self._add(key, first=True)

    def add_after(self, key: K, seconds: float) -> None:
        """Have it looked at once the delay is over, in the second lane, unless it is looked at anyway before."""
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
        """Have it looked at again after its backoff: the last attempt failed."""
        self._failures[key] = self._failures.get(key, 0) + 1
        self.add_after(key, self._backoff.seconds(self._failures[key]))

    def forget(self, key: K) -> None:
        """The last attempt succeeded: the next failure is the first again."""
        self._failures.pop(key, None)

    def failing(self, key: K) -> bool:
        """Whether its last attempt failed."""
        return key in self._failures

    async def get(self) -> K:
        """The next key. The caller says `done` when it is through. Raises Closed."""
        while not self._first and not self._second:
            if self._closed:
                raise Closed
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake_one()  # it was this one's turn: pass it on
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
        """The caller is through with it."""
        self._processing.discard(key)
        if key in self._again:
            self._add(key, first=self._again.pop(key))

    def close(self) -> None:
        """Hand out nothing more; whoever waits hears Closed."""
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
        """One timer for all delays, set to the next."""
        while self._delays and self._due.get(self._delays[0][2]) != self._delays[0][0]:
            heapq.heappop(self._delays)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._delays:
            self._timer = asyncio.get_running_loop().call_at(self._delays[0][0], self._release_due)

    def _release_due(self) -> None:
        # The loop may call a timer up to its clock's resolution early: what is due by then is due.
        horizon = max(self._now(), self._delays[0][0])
        while self._delays and self._delays[0][0] <= horizon:
            at, _, key = heapq.heappop(self._delays)
            if self._due.get(key) == at:
                self._add(key, first=False)
        self._timer = None
        self._set_timer()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
