"""What a tenant may use, what it has used, and what follows from both. No I/O, no clock.

Sound is counted in whole microseconds, so that sums over a day are exact wherever they are kept.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import NamedTuple

from tts_server.errors import DayQuotaExceeded, QuotaExceeded

WINDOW_SECONDS = 60.0
LEASE_RETRY_SECONDS = 1.0
"""When another request may have ended, nobody knows."""
MICROSECONDS = 1_000_000

REQUESTS_PER_MINUTE = "requestsPerMinute"
CLIENT_REQUESTS_PER_MINUTE = "perClientRequestsPerMinute"
CONCURRENT_REQUESTS = "concurrentRequests"
REQUESTS_PER_DAY = "requestsPerDay"
CHARACTERS_PER_DAY = "charactersPerDay"
AUDIO_SECONDS_PER_DAY = "audioSecondsPerDay"

UNITS: Mapping[str, str] = {
    REQUESTS_PER_MINUTE: "in any 60 seconds",
    CLIENT_REQUESTS_PER_MINUTE: "of one client in any 60 seconds",
    CONCURRENT_REQUESTS: "at the same time",
    REQUESTS_PER_DAY: "a day (UTC)",
    CHARACTERS_PER_DAY: "a day (UTC)",
    AUDIO_SECONDS_PER_DAY: "a day (UTC)",
}
DAY_LIMITS = frozenset({REQUESTS_PER_DAY, CHARACTERS_PER_DAY, AUDIO_SECONDS_PER_DAY})


@dataclass(frozen=True, slots=True)
class Limits:
    """What one tenant is allowed; None is no limit. Days are UTC days."""

    requests_per_minute: int | None = None
    client_requests_per_minute: int | None = None
    concurrent_requests: int | None = None
    requests_per_day: int | None = None
    characters_per_day: int | None = None
    audio_seconds_per_day: int | None = None
    replicas: int = 1
    """Servers that give these limits out together: one that counts for itself alone gives out its part."""

    @property
    def part(self) -> "Limits":
        """Of one replica that cannot see the others' counts."""
        return self if self.replicas == 1 else self.shared_by(self.replicas)

    @property
    def unlimited(self) -> bool:
        """Whether nothing is."""
        return self == Limits(replicas=self.replicas)

    def shared_by(self, replicas: int) -> "Limits":
        """The part of one of so many replicas: never less than one of anything."""

        def share(limit: int | None) -> int | None:
            return None if limit is None else max(1, limit // replicas)

        return Limits(
            share(self.requests_per_minute),
            share(self.client_requests_per_minute),
            share(self.concurrent_requests),
            share(self.requests_per_day),
            share(self.characters_per_day),
            share(self.audio_seconds_per_day),
        )

    def rest_shared_by(self, replicas: int, used: "DayCounts") -> "Limits":
        """As `shared_by`, but of the day's limits the part of what `used` leaves, for counts that go on from there."""

        def share(limit: int | None, gone: int) -> int | None:
            return None if limit is None else min(limit, gone) + max(0, limit - gone) // replicas

        return replace(
            self.shared_by(replicas),
            requests_per_day=share(self.requests_per_day, used.requests),
            characters_per_day=share(self.characters_per_day, used.characters),
            audio_seconds_per_day=share(self.audio_seconds_per_day, used.audio_microseconds // MICROSECONDS),
        )


@dataclass(frozen=True, slots=True)
class Request:
    """What a request is going to use."""

    characters: int = 0
    audio_seconds: float = 0.0
    """An estimate: what was sent replaces it."""
    client: str = ""
    """Who asks, among the tenant's callers; never shown, logged or stored as it is."""

    @property
    def audio_microseconds(self) -> int:
        """As it is counted."""
        return microseconds(self.audio_seconds)


@dataclass(frozen=True, slots=True)
class DayCounts:
    """Used on one UTC day: what was settled, and what is reserved."""

    day: int = 0
    """Since 1970-01-01."""
    requests: int = 0
    characters: int = 0
    audio_microseconds: int = 0


class Window(NamedTuple):
    """Requests of the last 60 seconds. Times are seconds from now; 0 where nothing is counted."""

    requests: int = 0
    next_seconds: float = 0.0
    """Until the oldest one is forgotten."""
    frees_seconds: float = 0.0
    """Until there is room for one more; 0 where there is."""
    all_seconds: float = 0.0
    """Until all of them are forgotten."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What is counted for a tenant and one of its clients, at one moment of the counting store's clock."""

    now: datetime
    """UTC."""
    minute: Window
    client: Window
    concurrent: int
    today: DayCounts


class Remaining(NamedTuple):
    """What is left of one limit."""

    limit: int
    remaining: int
    resets_after_seconds: float
    """Until some of it comes back; 0 where all is there."""


LimitStatus = Mapping[str, Remaining]
"""By the limit's name in `spec.quota`; limits that are not set are not in it."""


class _Measured(NamedTuple):
    """One limit against its counts."""

    name: str
    limit: int
    unit: int
    """`used` and `wanted` are counted in so many parts of what `limit` is counted in: whole numbers compare exactly."""
    used: int
    wanted: int
    next_seconds: float
    frees_seconds: float
    all_seconds: float

    @property
    def remaining(self) -> int:
        """Whole ones of what `limit` is counted in."""
        return max(0, self.limit * self.unit - self.used) // self.unit

    @property
    def refusal(self) -> str:
        """Why there is no room, and what to do."""
        again = f"Try again in {max(1, math.ceil(self.frees_seconds))} s."
        if not self.remaining:
            return f"{self.name} is used up: {self.limit} {UNITS[self.name]}. {again}"
        wanted = math.ceil(self.wanted / self.unit)
        way_out = again if wanted <= self.limit else "Send less at once."
        return (
            f"{self.name}: {self.remaining} are left of {self.limit} {UNITS[self.name]}, this takes {wanted}. {way_out}"
        )


def limit_status(limits: Limits, counts: Counts) -> LimitStatus:
    """What is left of each limit."""
    return {
        one.name: Remaining(one.limit, one.remaining, one.next_seconds if one.used else 0.0)
        for one in _measured(limits, counts, Request())
    }


def exceeded(limits: Limits, request: Request, counts: Counts) -> QuotaExceeded | None:
    """The refusal of a request, by the limit that keeps it waiting longest; None where it has room under all."""
    over = [one for one in _measured(limits, counts, request) if one.used + one.wanted > one.limit * one.unit]
    if not over:
        return None
    worst = max(over, key=lambda one: one.frees_seconds)
    kind = DayQuotaExceeded if worst.name in DAY_LIMITS else QuotaExceeded
    return kind(
        worst.refusal,
        limit=worst.name,
        retry_after_seconds=worst.frees_seconds,
        resets_at=counts.now + timedelta(seconds=worst.all_seconds),
        allowed=worst.limit,
        remaining=worst.remaining,
    )


def microseconds(seconds: float) -> int:
    """Whole ones."""
    return round(seconds * MICROSECONDS)


def _measured(limits: Limits, counts: Counts, request: Request) -> Iterator[_Measured]:
    for name, limit, window in (
        (REQUESTS_PER_MINUTE, limits.requests_per_minute, counts.minute),
        (CLIENT_REQUESTS_PER_MINUTE, limits.client_requests_per_minute, counts.client),
    ):
        if limit is not None:
            yield _Measured(
                name, limit, 1, window.requests, 1, window.next_seconds, window.frees_seconds, window.all_seconds
            )
    if limits.concurrent_requests is not None:
        wait = LEASE_RETRY_SECONDS
        yield _Measured(CONCURRENT_REQUESTS, limits.concurrent_requests, 1, counts.concurrent, 1, wait, wait, wait)
    if limits.requests_per_day is limits.characters_per_day is limits.audio_seconds_per_day is None:
        return
    midnight = _seconds_to_midnight(counts.now)
    for name, limit, unit, used, wanted in (
        (REQUESTS_PER_DAY, limits.requests_per_day, 1, counts.today.requests, 1),
        (CHARACTERS_PER_DAY, limits.characters_per_day, 1, counts.today.characters, request.characters),
        (
            AUDIO_SECONDS_PER_DAY,
            limits.audio_seconds_per_day,
            MICROSECONDS,
            counts.today.audio_microseconds,
            request.audio_microseconds,
        ),
    ):
        if limit is not None:
            yield _Measured(name, limit, unit, used, wanted, midnight, midnight, midnight)


def _seconds_to_midnight(now: datetime) -> float:
    tomorrow = datetime.combine(now.date() + timedelta(days=1), time(), now.tzinfo)
    return (tomorrow - now).total_seconds()
