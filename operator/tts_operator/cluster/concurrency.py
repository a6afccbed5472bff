"""How many writes are sent at the same time: as many as the API server takes, by its own answers.

Additive increase, multiplicative decrease, as TCP does it: each answered write allows a little more, a 429 halves, and
nothing is sent before the time that its Retry-After names. The API server's priority and fairness decides who gets a
429; this only follows it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tts_operator.cluster.errors import Overloaded

INITIAL, LOWEST, HIGHEST = 16, 1, 64
"""Writes at the same time."""
LONGEST_PAUSE_SECONDS = 10.0
"""Limit of the pause that an API server may ask for: the Lease is renewed by another client in any case."""


class ConcurrencyLimit:
    """The limit as a number. Pure: times are arguments, in seconds of any monotonic clock."""

    def __init__(self, initial: int = INITIAL) -> None:
        self._limit = float(initial)
        self.paused_until = float("-inf")
        """Time before which nothing is sent."""

    @property
    def limit(self) -> int:
        """Writes at the same time."""
        return int(self._limit)

    def answered(self) -> None:
        """Count a write that the server answered: as many of them as the limit is raise it by one."""
        self._limit = min(self._limit + 1 / self._limit, HIGHEST)

    def overloaded(self, now: float, retry_after_seconds: float) -> None:
        """Count a 429. Several that were sent together halve the limit once."""
        if now >= self.paused_until:
            self._limit = max(self._limit / 2, LOWEST)
        pause = min(max(retry_after_seconds, 0.1), LONGEST_PAUSE_SECONDS)
        self.paused_until = max(self.paused_until, now + pause)


class WriteGate:
    """Lets writes pass up to the limit, in the order in which they came. Used by one event loop."""

    def __init__(self, limit: ConcurrencyLimit | None = None, monotonic: Callable[[], float] | None = None) -> None:
        self.limit = limit or ConcurrencyLimit()
        self._monotonic = monotonic or (lambda: asyncio.get_running_loop().time())
        self._turn = asyncio.Lock()
        self._room = asyncio.Event()
        self.sent = 0
        """Writes that are under way."""

    @asynccontextmanager
    async def passed(self) -> AsyncIterator[None]:
        """Wait for room, and take it until the block ends, whose error tells how the server is."""
        async with self._turn:
            while self.sent >= self.limit.limit or self._monotonic() < self.limit.paused_until:
                self._room.clear()
                pause = max(self.limit.paused_until - self._monotonic(), 0.0)
                if pause:
                    await asyncio.sleep(pause)
                else:
                    await self._room.wait()
            self.sent += 1
        try:
            yield
        except Overloaded as error:
            self.limit.overloaded(self._monotonic(), error.retry_after_seconds)
            raise
        else:
            self.limit.answered()
        finally:
            self.sent -= 1
            self._room.set()
