"""Work queue of keys to reconcile. `fair_lanes` decides the order; this waits, delays and retries.

Otherwise it works like client-go's ``util/workqueue``, on one event loop instead of many threads:

- A key is queued at most once, however often it is added.
- A key that is being processed is not handed out again; if it is added meanwhile, it is queued after that.
- A delayed key is queued when its delay has passed; the shortest of several delays applies.
- A failed key is queued after a delay that doubles each time, until it is forgotten; an event ends the delay. All
  failed keys together are limited to some per second.
"""

import asyncio
import heapq
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tts_operator.controller.fair_lanes import FairLanes, Lane
from tts_operator.controller.retry_budget import RetryBudget

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

    def __init__(
        self,
        backoff: Backoff | None = None,
        team_of: Callable[[K], str] = lambda _key: "",
        waited: Callable[[Lane, float], None] = lambda _lane, _seconds: None,
    ) -> None:
        """`team_of`: teams between which turns are taken. `waited` is called with each key's lane and time queued."""
        self._backoff = backoff or Backoff()
        self._budget = RetryBudget()
        self._waited = waited
        self._queued = FairLanes[K](team_of)
        self._processing: set[K] = set()
        self._again: dict[K, Lane] = {}  # added while being processed
        self._due: dict[K, float] = {}
        self._due_lanes: dict[K, Lane] = {}
        self._delays: list[tuple[float, int, K]] = []  # a heap; entries that differ from _due are obsolete
        self._sequence = 0  # breaks ties: keys need no order
        self._failures: dict[K, int] = {}
        self._waiters: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def __len__(self) -> int:
        """Number of queued keys, without delayed ones."""
        return len(self._queued)

    def depth(self, lane: Lane) -> int:
        """Number of queued keys of a lane."""
        return self._queued.depth(lane)

    def oldest_wait_seconds(self) -> float:
        """Time for which the oldest key has been queued; 0 without keys."""
        now = self._now()
        oldest = (self._queued.oldest_at(lane) for lane in Lane)
        return now - min((at for at in oldest if at is not None), default=now)

    def add(self, key: K, lane: Lane = Lane.EDIT) -> None:
        """Queue a key; one in a less urgent lane moves."""
        self._add(key, lane)

    def add_after(self, key: K, seconds: float, lane: Lane = Lane.CHILD) -> None:
        """Queue a key after a delay, unless it is queued before."""
        if self._closed or key in self._queued or key in self._again:
            return
        if seconds <= 0:
            self._add(key, lane)
            return
        at = self._now() + seconds
        self._due_lanes[key] = min(lane, self._due_lanes.get(key, lane))
        if at < self._due.get(key, float("inf")):
            self._due[key] = at
            self._sequence += 1
            heapq.heappush(self._delays, (at, self._sequence, key))
            self._set_timer()

    def retry(self, key: K, at_least_seconds: float = 0.0) -> None:
        """Queue a failed key after its backoff, and no sooner than the server asked for."""
        self._failures[key] = self._failures.get(key, 0) + 1
        backoff = max(self._backoff.seconds(self._failures[key]), at_least_seconds)
        self.add_after(key, max(backoff, self._budget.wait_seconds(self._now())))

    def forget(self, key: K) -> None:
        """Reset a key's backoff after a success."""
        self._failures.pop(key, None)

    def failing(self, key: K) -> bool:
        """Whether the last attempt at a key failed."""
        return key in self._failures

    async def get(self) -> K:
        """Wait for the next key. The caller must call `done` when it is processed. Raises Closed."""
        while not len(self._queued):
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
        key, lane, added_at = self._queued.take()
        self._waited(lane, self._now() - added_at)
        self._processing.add(key)
        return key

    def done(self, key: K) -> None:
        """Mark a key as processed; it is queued again if it was added meanwhile."""
        self._processing.discard(key)
        if key in self._again:
            self._add(key, self._again.pop(key))

    def close(self) -> None:
        """Hand out no more keys: `get` raises Closed."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _add(self, key: K, lane: Lane) -> None:
        if self._closed:
            return
        self._due.pop(key, None)
        self._due_lanes.pop(key, None)
        if key in self._processing:
            self._again[key] = min(lane, self._again.get(key, lane))
            return
        known = key in self._queued
        self._queued.add(key, lane, self._now())
        if not known:
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
                self._add(key, self._due_lanes.pop(key, Lane.CHILD))
        self._timer = None
        self._set_timer()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
