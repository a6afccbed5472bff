"""Compares counts with limits: the rest of each limit, and the limit that refuses a request. No I/O, no clock."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import NamedTuple

from tts_server.errors import QuotaExceeded
from tts_server.quota.limit_table import (
    AUDIO_SECONDS,
    CHARACTERS,
    MICROSECONDS,
    Kind,
    Limit,
    Limits,
    Unit,
)


@dataclass(frozen=True, slots=True)
class Request:
    """The usage that a request reserves."""

    characters: int = 0
    audio_seconds: float = 0.0
    """Estimated; the length of the audio that was sent replaces it."""
    client: str = ""
    """Identifies the tenant's caller; never logged, shown, or stored unhashed. Empty: no client is counted."""

    @property
    def audio_microseconds(self) -> int:
        return microseconds(self.audio_seconds)

    def amount(self, unit: Unit) -> int:
        """How much it adds to a counter, in parts of the unit."""
        if unit is CHARACTERS:
            return self.characters
        return self.audio_microseconds if unit is AUDIO_SECONDS else 1


@dataclass(frozen=True, slots=True)
class DayCounts:
    """Usage of one UTC day: charged and reserved."""

    day: int = 0
    """UTC day number: days since 1970-01-01."""
    requests: int = 0
    characters: int = 0
    audio_microseconds: int = 0

    def amount(self, unit: Unit) -> int:
        """The day's counter of a unit, in parts of it."""
        if unit is CHARACTERS:
            return self.characters
        return self.audio_microseconds if unit is AUDIO_SECONDS else self.requests


class WindowCounts(NamedTuple):
    """The requests in a sliding window. Times are seconds from now; all are 0 for an empty window."""

    requests: int = 0
    next_seconds: float = 0.0
    """Time until the oldest request leaves the window."""
    frees_seconds: float = 0.0
    """Time until the window has room for one more request; 0 if it has room now."""
    all_seconds: float = 0.0
    """Time until the window is empty."""


EMPTY = WindowCounts()
LEASE_RETRY = WindowCounts(0, 1.0, 1.0, 1.0)
"""Nothing tells when a running request ends: `Retry-After` of a concurrency limit is one second."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The counters of a tenant and one of its clients at one instant of the counting store's clock."""

    now: datetime
    """UTC."""
    windows: Mapping[Limit, WindowCounts]
    """By sliding limit; one that is missing has counted nothing."""
    concurrent: int
    today: DayCounts


class Remaining(NamedTuple):
    """The rest of one limit."""

    limit: int
    remaining: int
    resets_after_seconds: float
    """Time until some of it is available again; 0 if all of it is available."""


LimitStatus = Mapping[str, Remaining]
"""The limits that are set, by `Limit.name`."""


class _Usage(NamedTuple):
    """One limit, its counter, and what a request adds to it; the counter and the request in parts of the unit."""

    limit: Limit
    allowed: int
    used: int
    amount: int
    window: WindowCounts

    @property
    def is_exceeded(self) -> bool:
        return self.used + self.amount > self.allowed * self.limit.unit.parts

    @property
    def remaining(self) -> int:
        """Whole units."""
        parts = self.limit.unit.parts
        return max(0, self.allowed * parts - self.used) // parts

    @property
    def refusal(self) -> str:
        """The message to the caller: which limit, how much of it is left, what to do."""
        name, words = self.limit.name, self.limit.words
        retry = f"Try again in {max(1, math.ceil(self.window.frees_seconds))} s."
        if not self.remaining:
            return f"{name} is used up: {self.allowed} {words}. {retry}"
        amount = math.ceil(self.amount / self.limit.unit.parts)
        advice = retry if amount <= self.allowed else "Send a shorter text."
        return f"{name}: {self.remaining} are left of {self.allowed} {words}, this request takes {amount}. {advice}"


def limit_status(limits: Limits, counts: Counts) -> LimitStatus:
    """The rest of each limit that is set."""
    return {
        usage.limit.name: Remaining(usage.allowed, usage.remaining, usage.window.next_seconds if usage.used else 0.0)
        for usage in _usages(limits, counts, Request())
    }


def exceeded(limits: Limits, request: Request, counts: Counts) -> QuotaExceeded | None:
    """The error of a request that exceeds a limit: of several limits, the one with the longest wait."""
    over = [usage for usage in _usages(limits, counts, request) if usage.is_exceeded]
    if not over:
        return None
    worst = max(over, key=lambda usage: usage.window.frees_seconds)
    return worst.limit.error(
        worst.refusal,
        limit=worst.limit.name,
        retry_after_seconds=worst.window.frees_seconds,
        resets_at=counts.now + timedelta(seconds=worst.window.all_seconds),
        allowed=worst.allowed,
        remaining=worst.remaining,
    )


def share_of_rest(limits: Limits, replicas: int, used: DayCounts) -> Limits:
    """One replica's share while counts continue from `used`: `shared_by`, but of a daily limit a part of its rest."""
    shares: dict[Limit, int] = {}
    for limit, allowed in limits.items:
        if limit.window.kind is Kind.UTC_DAY:
            before = min(allowed, used.amount(limit.unit) // limit.unit.parts)
            shares[limit] = before + (allowed - before) // replicas
    return limits.shared_by(replicas).with_values(shares)


def microseconds(seconds: float) -> int:
    """Rounded to whole microseconds."""
    return round(seconds * MICROSECONDS)


def _usages(limits: Limits, counts: Counts, request: Request) -> Iterator[_Usage]:
    midnight: WindowCounts | None = None
    for limit, allowed in limits.items:
        match limit.window.kind:
            case Kind.SLIDING:
                window = counts.windows.get(limit, EMPTY)
                yield _Usage(limit, allowed, window.requests, 1, window)
            case Kind.UTC_DAY:
                midnight = midnight or _until_midnight(counts.now)
                used, amount = counts.today.amount(limit.unit), request.amount(limit.unit)
                yield _Usage(limit, allowed, used, amount, midnight)
            case _:
                yield _Usage(limit, allowed, counts.concurrent, 1, LEASE_RETRY)


def _until_midnight(now: datetime) -> WindowCounts:
    tomorrow = datetime.combine(now.date() + timedelta(days=1), time(), now.tzinfo)
    seconds = (tomorrow - now).total_seconds()
    return WindowCounts(0, seconds, seconds, seconds)
