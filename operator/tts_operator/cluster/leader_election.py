"""Leadership: of several operators one writes, and it knows when it may no longer.

The protocol is client-go's ``tools/leaderelection`` over a ``coordination.k8s.io/v1`` Lease. Three times rule it:

    retry  <  renew deadline  <  lease
    2 s       10 s               15 s

A leader renews every `retry_seconds`. From `renew_deadline_seconds` after its last renewal it starts no write. Others
take over once the record has not changed for `lease_seconds` by their own monotonic clock, so no two machines need to
agree on the time of day, and the gap between deadline and lease covers writes that are still on their way.

The deadline counts from *before* the renewal was sent, and is read from the clock at every write: a process that was
frozen for a minute finds, the moment it runs again, that it leads no longer.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import structlog

from tts_operator.clock import Clock

log = structlog.get_logger()


@dataclass(frozen=True)
class LeaderElectionConfig:
    """How fast leadership changes hands."""

    lease_seconds: float = 15.0
    renew_deadline_seconds: float = 10.0
    retry_seconds: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.retry_seconds < self.renew_deadline_seconds < self.lease_seconds:
            raise ValueError("0 < retry < renew deadline < lease does not hold")

    @classmethod
    def of_lease(cls, seconds: float) -> "LeaderElectionConfig":
        """The usual proportions, for a lease of this length."""
        return cls(seconds, seconds * 2 / 3, seconds * 2 / 15)


@dataclass(frozen=True)
class Record:
    """What a Lease says. `holder` is empty once a leader has let it go."""

    holder: str
    lease_seconds: float
    acquired: datetime
    renewed: datetime
    transitions: int = 0
    version: str = ""
    """resourceVersion: a write with an old one is refused. Empty: there is no Lease yet."""


class LeaseConflict(Exception):  # noqa: N818 - it is an answer, not an error
    """Somebody else wrote the Lease first."""


class LeaseStore(Protocol):
    """One Lease, wherever it is kept."""

    async def read(self) -> Record | None:
        """The record as stored; None before the first leader."""

    async def write(self, record: Record) -> Record:
        """Create or replace, as `record.version` says; returns what is stored. Raises LeaseConflict."""


class Leader:
    """One candidate. `lead` does everything; `may_write` is asked before every write."""

    def __init__(
        self,
        store: LeaseStore,
        identity: str,
        clock: Clock,
        config: LeaderElectionConfig | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self.identity = identity
        self.config = config or LeaderElectionConfig()
        self._store = store
        self._clock = clock
        self._chance = chance or random.Random()  # noqa: S311 - it spreads candidates, it keeps no secret
        self._seen: Record | None = None
        self._seen_at = 0.0
        self._may_write_until = float("-inf")
        """On the monotonic clock."""

    def may_write(self) -> bool:
        """Whether a write may start at this very moment."""
        return self._clock.monotonic() < self._may_write_until

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait to become the leader, then do `work` until it ends or leadership does.

        Work is cancelled when the lease cannot be renewed in time; call again to stand again. The lease is let go
        when work ends by itself or this is cancelled, so that the next leader need not wait.
        """
        await self._acquire()
        log.info("leading", identity=self.identity)
        working = asyncio.ensure_future(work())
        renewing = asyncio.create_task(self._renew_until_lost())
        try:
            await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancelled(renewing)
            await _cancelled(working)
            await self._release()
        if working.cancelled():
            log.warning("leadership lost", identity=self.identity)
            return
        working.result()

    async def _acquire(self) -> None:
        standing_by = False
        while not await self._attempt():  # another process lets the lease go, no event tells
            if not standing_by and self._seen is not None and self._seen.holder:
                log.info("standing by", identity=self.identity, leader=self._seen.holder)
                standing_by = True
            # Candidates that started together should not go on asking together.
            await asyncio.sleep(self.config.retry_seconds * self._chance.uniform(1.0, 1.2))

    async def _renew_until_lost(self) -> None:
        """Returns once the deadline has passed without a renewal."""
        while True:
            await asyncio.sleep(min(self.config.retry_seconds, self._seconds_left()))
            if not self.may_write() or self._lost():
                return
            await self._attempt()

    async def _attempt(self) -> bool:
        """Take or renew the lease; False where it is another's, or no answer came in time."""
        asked_at = self._clock.monotonic()
        leading = self.may_write()
        patience_seconds = self._seconds_left() if leading else self.config.renew_deadline_seconds
        try:
            async with asyncio.timeout(patience_seconds):
                taken = await self._take()
        except LeaseConflict:
            self._seen = None if leading else self._seen  # what it holds is old: the next attempt reads it again
            return False
        except Exception as error:  # whatever it is: the deadline goes on
            log.warning("lease not reached", identity=self.identity, leading=leading, error=describe(error))
            return False
        if taken:
            self._may_write_until = asked_at + self.config.renew_deadline_seconds
        elif leading:
            self._may_write_until = float("-inf")
        return taken

    async def _take(self) -> bool:
        now = self._clock.now()
        current = self._seen if self.may_write() and self._seen and self._holds(self._seen) else await self._read()
        if current is not None and not self._holds(current) and not self._expired(current):
            return False
        if current is None:
            wanted = Record(self.identity, self.config.lease_seconds, now, now)
        elif self._holds(current):
            wanted = replace(current, renewed=now, lease_seconds=self.config.lease_seconds)
        else:
            wanted = Record(
                self.identity, self.config.lease_seconds, now, now, current.transitions + 1, current.version
            )
        self._observe(await self._store.write(wanted))
        return True

    async def _read(self) -> Record | None:
        record = await self._store.read()
        if record != self._seen:
            self._observe(record)
        return record

    def _observe(self, record: Record | None) -> None:
        self._seen = record
        self._seen_at = self._clock.monotonic()

    def _holds(self, record: Record) -> bool:
        return record.holder == self.identity

    def _expired(self, record: Record) -> bool:
        """By the time that has passed here since the record last changed, never by the times in it."""
        return not record.holder or self._clock.monotonic() >= self._seen_at + record.lease_seconds

    def _lost(self) -> bool:
        return self._seen is not None and not self._holds(self._seen)

    def _seconds_left(self) -> float:
        return max(self._may_write_until - self._clock.monotonic(), 0.0)

    async def _release(self) -> None:
        """Let the lease go, if it is still ours to write."""
        if not self.may_write() or self._seen is None or not self._holds(self._seen):
            self._may_write_until = float("-inf")
            return
        patience_seconds = self._seconds_left()
        self._may_write_until = float("-inf")  # first, so that no write follows the release
        released = replace(self._seen, holder="", lease_seconds=1.0, renewed=self._clock.now())
        with contextlib.suppress(Exception):  # it expires by itself
            async with asyncio.timeout(patience_seconds):
                self._observe(await self._store.write(released))


async def _cancelled(task: asyncio.Future[None]) -> None:
    """Cancel it and wait until it has ended."""
    task.cancel()
    await asyncio.wait({task})


def describe(error: Exception) -> str:
    """One line about an error that may have no message."""
    return str(error) or type(error).__name__
