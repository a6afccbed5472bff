"""Leader election: one of several replicas writes, and stops before another can take over.

The protocol is client-go's ``tools/leaderelection`` over a ``coordination.k8s.io/v1`` Lease, with three durations:

    retry  <  renew deadline  <  lease
    2 s       10 s               15 s

The leader renews every `retry_seconds`. Once `renew_deadline_seconds` have passed since its last renewal it starts no
write. Others take over once the record has not changed for `lease_seconds` by their own monotonic clock: the machines'
clocks need not agree, and the time between deadline and lease covers writes that are still in flight.

The deadline counts from *before* the renewal was sent, and is compared with the clock at every write: a process that
was frozen for a minute has stopped writing the moment it runs again.
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
    """Durations of the protocol, as client-go's LeaderElectionConfig."""

    lease_seconds: float = 15.0
    renew_deadline_seconds: float = 10.0
    retry_seconds: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.retry_seconds < self.renew_deadline_seconds < self.lease_seconds:
            raise ValueError("0 < retry_seconds < renew_deadline_seconds < lease_seconds is required")

    @classmethod
    def of_lease(cls, seconds: float) -> "LeaderElectionConfig":
        """Scale client-go's defaults of 15, 10 and 2 seconds to this lease duration."""
        return cls(seconds, seconds * 2 / 3, seconds * 2 / 15)


@dataclass(frozen=True)
class Record:
    """Content of a Lease. `holder` is empty after the leader released it."""

    holder: str
    lease_seconds: float
    acquired: datetime
    renewed: datetime
    transitions: int = 0
    version: str = ""
    """resourceVersion that a write must match; empty: the Lease does not exist yet."""


class LeaseConflict(Exception):  # noqa: N818 - an expected outcome, not an error
    """Another candidate wrote the Lease first."""


class LeaseStore(Protocol):
    """Storage of one Lease."""

    async def read(self) -> Record | None:
        """Read the record; None before the first leader."""

    async def write(self, record: Record) -> Record:
        """Create the record, or replace the one of `record.version`. Returns it as stored. Raises LeaseConflict."""


class Leader:
    """One candidate. `lead` runs the protocol; `may_write` is checked before every write."""

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
        self._chance = chance or random.Random()  # noqa: S311 - jitter, not a secret
        self._seen: Record | None = None
        self._seen_at = 0.0
        self._may_write_until = float("-inf")
        """Monotonic clock, seconds."""

    def may_write(self) -> bool:
        """Whether a write may start now."""
        return self._clock.monotonic() < self._may_write_until

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait for leadership, then run `work` until it ends or leadership is lost.

        Work is cancelled if the lease cannot be renewed in time; call again to become a candidate again. The lease is
        released when work returns or this is cancelled, so that the next leader need not wait for it to expire.
        """
        await self._acquire()
        log.info("started leading", identity=self.identity)
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
        logged = False
        while not await self._attempt():  # polled: a release causes no event
            if not logged and self._seen is not None and self._seen.holder:
                log.info("waiting for leader lease", identity=self.identity, leader=self._seen.holder)
                logged = True
            # Jitter: candidates that started together spread their attempts.
            await asyncio.sleep(self.config.retry_seconds * self._chance.uniform(1.0, 1.2))

    async def _renew_until_lost(self) -> None:
        """Return once the deadline has passed without a renewal."""
        while True:
            await asyncio.sleep(min(self.config.retry_seconds, self._seconds_left()))
            if not self.may_write() or self._lost():
                return
            await self._attempt()

    async def _attempt(self) -> bool:
        """Acquire or renew the lease; False where another holds it, or no response came in time."""
        started_at = self._clock.monotonic()
        leading = self.may_write()
        timeout_seconds = self._seconds_left() if leading else self.config.renew_deadline_seconds
        try:
            async with asyncio.timeout(timeout_seconds):
                acquired = await self._acquire_or_renew()
        except LeaseConflict:
            self._seen = None if leading else self._seen  # stale: the next attempt reads it again
            return False
        except Exception as error:  # the deadline decides about leadership
            log.warning("cannot reach lease", identity=self.identity, leading=leading, error=describe(error))
            return False
        if acquired:
            self._may_write_until = started_at + self.config.renew_deadline_seconds
        elif leading:
            self._may_write_until = float("-inf")
        return acquired

    async def _acquire_or_renew(self) -> bool:
        now = self._clock.now()
        current = self._seen if self.may_write() and self._seen and self._holds(self._seen) else await self._read()
        if current is not None and not self._holds(current) and not self._expired(current):
            return False
        if current is None:
            desired = Record(self.identity, self.config.lease_seconds, now, now)
        elif self._holds(current):
            desired = replace(current, renewed=now, lease_seconds=self.config.lease_seconds)
        else:
            desired = Record(
                self.identity, self.config.lease_seconds, now, now, current.transitions + 1, current.version
            )
        self._observe(await self._store.write(desired))
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
        """Measured by this process since it last saw the record change, never by the times in the record."""
        return not record.holder or self._clock.monotonic() >= self._seen_at + record.lease_seconds

    def _lost(self) -> bool:
        return self._seen is not None and not self._holds(self._seen)

    def _seconds_left(self) -> float:
        return max(self._may_write_until - self._clock.monotonic(), 0.0)

    async def _release(self) -> None:
        """Release the lease, if this candidate may still write it."""
        if not self.may_write() or self._seen is None or not self._holds(self._seen):
            self._may_write_until = float("-inf")
            return
        timeout_seconds = self._seconds_left()
        self._may_write_until = float("-inf")  # before the release, which no write may follow
        released = replace(self._seen, holder="", lease_seconds=1.0, renewed=self._clock.now())
        with contextlib.suppress(Exception):  # unreleased, it expires
            async with asyncio.timeout(timeout_seconds):
                self._observe(await self._store.write(released))


async def _cancelled(task: asyncio.Future[None]) -> None:
    """Cancel a task and wait until it has ended."""
    task.cancel()
    await asyncio.wait({task})


def describe(error: Exception) -> str:
    """Message of an error; its type's name if it has none."""
    return str(error) or type(error).__name__
