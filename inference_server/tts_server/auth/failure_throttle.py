"""Bad credentials, counted by the address they come from.

A credential is looked at before its address is: a good one is let in at once, whoever else sits behind the same
address (an office, a mobile network, an attacker). What slows a guesser down is what a wrong guess costs: after some
in a minute each is answered 429, only after a pause, over a connection that is closed then; the time to wait that it is
told doubles with every further one. No more can be had without refusing a good credential unseen: keys of 256 bits are
what makes guessing hopeless, and this makes it slow and visible.
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
"""Then the one that was quiet longest is forgotten: some 2 MB."""
PAUSE_SECONDS = 1.0
"""Before a 429: longer would keep connections open that cost memory here."""
MOST_PAUSES = 64
"""At once; answers beyond them leave at once, so that a flood holds nothing."""


@dataclass(slots=True)
class _Record:
    failures: int
    since: float
    until: float
    """End of the penalty."""


class FailureThrottle:
    """Counts, in bounded memory."""

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
        """One more from there. Seconds that it has to wait, None while it has failures free."""
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
        """Let a guesser wait, unless too many do already."""
        if self._pauses >= MOST_PAUSES:
            return
        self._pauses += 1
        try:
            await self._sleep(PAUSE_SECONDS)
        finally:
            self._pauses -= 1

    def __len__(self) -> int:
        return len(self._records)
