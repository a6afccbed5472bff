"""Bounds the bodies that arrive at once from callers without a credential."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tts_server.errors import Overloaded

MOST_BODIES = 256
"""Default of the limit. Such a body is at most 4 KiB, and its request takes about 30 KiB."""


class IncomingBodies:
    """The bodies that have not arrived completely, oldest first.

    Beyond the limit the oldest is refused rather than the newest: an honest body arrives within milliseconds, so that
    callers who never finish theirs keep nobody else out.
    """

    def __init__(self, most: int = MOST_BODIES) -> None:
        self._most = most
        self._timers: dict[asyncio.Timeout, None] = {}
        """The time limit of each body."""

    def __len__(self) -> int:
        return len(self._timers)

    @asynccontextmanager
    async def one_more(self, seconds: float) -> AsyncIterator[None]:
        """Count a body while it is read inside. Raises `TimeoutError` after `seconds`, and `Overloaded`."""
        timer = asyncio.timeout(seconds)
        try:
            async with timer:
                self._add(timer)
                yield
        except TimeoutError:
            if timer in self._timers:
                raise
            raise Overloaded(f"More than {self._most} bodies arrive at once; this one took longest.") from None
        finally:
            self._timers.pop(timer, None)

    def _add(self, timer: asyncio.Timeout) -> None:
        if len(self._timers) >= self._most:
            oldest = next(iter(self._timers))
            del self._timers[oldest]
            oldest.reschedule(asyncio.get_running_loop().time())
        self._timers[timer] = None
