"""Counts authentication failures by address, and slows down an address that has many.

The credential is checked first: a valid one is accepted at once, whoever else has the same address (an office, a mobile
network, an attacker). After some failures in a minute each further one is answered 429, after a pause, and its
connection is closed; `Retry-After` doubles each time. To do more would mean refusing a valid credential unseen. Keys of
256 bits are what makes guessing hopeless; this makes it slow and visible.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tts_server.auth.network import network_of

FREE_FAILURES = 5
WINDOW_SECONDS = 60.0
LONGEST_PENALTY_SECONDS = 300.0
MOST_ADDRESSES = 10_000
"""Maximum number of addresses, some 2 MB; beyond it the one that failed longest ago is dropped."""
PAUSE_SECONDS = 1.0
"""Pause before a 429. Each paused connection costs memory."""
MOST_PAUSES = 64
"""Maximum concurrent pauses; replies beyond it are sent at once, so that a flood holds no connections."""


@dataclass(slots=True)
class _Record:
    failures: int
    since: float
    until: float
    """End of the penalty."""


class FailureThrottle:
    """Failure counts by network, in bounded memory."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._pauses = 0
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def count(self, address: str) -> float | None:
        """Count a failure. Returns the penalty in seconds, or None for the first `FREE_FAILURES`."""
        now, network = self._clock(), network_of(address)
        record = self._records.pop(network, None)
        if record is None or now - max(record.since, record.until) > WINDOW_SECONDS:
            record = _Record(0, now, now)
        record.failures += 1
        self._records[network] = record
        if len(self._records) > MOST_ADDRESSES:
            self._records.popitem(last=False)
        over = record.failures - FREE_FAILURES
        if over <= 0:
            return None
        penalty = min(2.0 ** min(over - 1, 30), LONGEST_PENALTY_SECONDS)
        record.until = now + penalty
        return penalty

    async def pause(self) -> None:
        """Sleep before a 429, unless too many replies are paused already."""
        if self._pauses >= MOST_PAUSES:
            return
        self._pauses += 1
        try:
            await self._sleep(PAUSE_SECONDS)
        finally:
            self._pauses -= 1

    def __len__(self) -> int:
        return len(self._records)
