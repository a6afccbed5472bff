"""Limits of a tenant: what a request reserves before it is served, and gives back when it is not."""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Protocol

from tts_server.errors import QuotaExceeded

REQUESTS_PER_MINUTE = "requestsPerMinute"
WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one store of counters allows one tenant; None is no limit."""

    requests_per_minute: int | None = None

    def shared_by(self, replicas: int) -> "Limits":
        """The part of one of so many replicas that cannot see each other's counts: never less than one request."""
        if self.requests_per_minute is None:
            return self
        return Limits(max(1, self.requests_per_minute // replicas))


class Reservation(Protocol):
    """A request that was let in."""

    @property
    def remaining(self) -> int | None:
        """Requests left in this minute when it was let in; None without a limit."""

    @property
    def resets_after_seconds(self) -> float:
        """Until the oldest of the counted requests is forgotten."""

    async def give_back(self) -> None:
        """Undo it: the request was refused or failed, and nothing was sent. Twice is once."""


class Quota(Protocol):
    """Counts by tenant. `requestsPerMinute` is exact: no 60 seconds see more requests that were kept."""

    async def reserve(self, tenant: str, limits: Limits) -> Reservation:
        """Count one request. Raises `QuotaExceeded`, and counts nothing then."""

    async def remaining(self, tenant: str, limits: Limits) -> int | None:
        """Requests that would be let in now; None without a limit."""


@dataclass(slots=True)
class MemoryReservation:
    """See `Reservation`."""

    log: OrderedDict[int, float]
    number: int
    remaining: int | None
    resets_after_seconds: float

    async def give_back(self) -> None:
        self.log.pop(self.number, None)


class MemoryQuota:
    """`Quota` in this process: a sliding log. It keeps one number per request of the last minute."""

    def __init__(self, monotonic: Callable[[], float], now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._monotonic = monotonic
        self._now = now
        self._logs: dict[str, OrderedDict[int, float]] = {}
        self._count = 0

    async def reserve(self, tenant: str, limits: Limits) -> MemoryReservation:
        """See `Quota.reserve`."""
        limit = limits.requests_per_minute
        if limit is None:
            return MemoryReservation(OrderedDict(), 0, None, 0.0)
        now = self._monotonic()
        log = self._recent(tenant, now)
        if len(log) >= limit:
            raise self._exceeded(log, limit, now)
        self._count += 1
        log[self._count] = now
        oldest = next(iter(log.values()))
        return MemoryReservation(log, self._count, limit - len(log), oldest + WINDOW_SECONDS - now)

    async def remaining(self, tenant: str, limits: Limits) -> int | None:
        """See `Quota.remaining`."""
        if limits.requests_per_minute is None:
            return None
        return max(0, limits.requests_per_minute - len(self._recent(tenant, self._monotonic())))

    def _recent(self, tenant: str, now: float) -> OrderedDict[int, float]:
        """Requests younger than a minute, the oldest first."""
        log = self._logs.setdefault(tenant, OrderedDict())
        while log and next(iter(log.values())) <= now - WINDOW_SECONDS:
            log.popitem(last=False)
        return log

    def _exceeded(self, log: OrderedDict[int, float], limit: int, now: float) -> QuotaExceeded:
        times = log.values()
        # A limit that was lowered leaves more in the log than it allows: that many must be forgotten first.
        frees = next(islice(times, len(log) - limit, None)) + WINDOW_SECONDS - now
        newest = next(reversed(times)) + WINDOW_SECONDS - now
        seconds = math.ceil(frees)
        return QuotaExceeded(
            f"requestsPerMinute is used up: {limit} in any 60 seconds. Try again in {seconds} s.",
            limit=REQUESTS_PER_MINUTE,
            retry_after_seconds=frees,
            resets_at=self._now() + timedelta(seconds=newest),
        )
