"""Translates between the quota's values and the keys, arguments and replies of its scripts (`redis_scripts`)."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from tts_server.quota.ledger import LedgerKey, LedgerTotals
from tts_server.quota.limit_table import DAILY, MICROSECONDS, SLIDING, Limit, Limits, Scope
from tts_server.quota.limits import Counts, DayCounts, Request, WindowCounts, microseconds
from tts_server.quota.recent_requests import UnsyncedRequest
from tts_server.quota.redis_scripts import COMMON_KEYS

WINDOW_NUMBERS = 4
"""Numbers that a script replies for each sliding window."""


def key(tenant: str, name: str) -> str:
    """A key of the tenant. All of them share a hash tag: in a cluster they are on one node."""
    return f"tts:{{{tenant}}}:quota:{name}"


@lru_cache(maxsize=256)
def common_keys(tenant: str) -> Mapping[str, str]:
    """The keys of every script, by name."""
    return {name: key(tenant, name) for name in COMMON_KEYS}


def log_key(tenant: str, limit: Limit, client: str) -> str:
    """The log of a sliding limit. A client is named by a digest: it may be a person's name."""
    if limit.scope is Scope.TENANT:
        return key(tenant, limit.counter)
    return key(tenant, f"{limit.counter}:{hashlib.sha256(client.encode()).hexdigest()[:32]}")


def log_keys(tenant: str, client: str) -> dict[str, str]:
    """The logs of all sliding limits, by counter."""
    return {limit.counter: log_key(tenant, limit, client) for limit in SLIDING}


def line_name(line: LedgerKey) -> str:
    """The end of the names of a line's fields in the ledger."""
    model, precision = line
    return f"{precision} {model}"


def sums(totals: LedgerTotals) -> dict[str, int]:
    """A line by the names of its fields."""
    return {
        "requests": totals.requests,
        "characters": totals.characters,
        "audio": totals.audio_microseconds,
        "cached": totals.cached,
        "degraded": totals.degraded,
    }


def last_arguments(epoch: str, today: DayCounts) -> dict[str, Any]:
    """The arguments `last_epoch` and `last` of every script."""
    return {"last_epoch": epoch, "last": {"day": today.day} | {one.counter: today.amount(one.unit) for one in DAILY}}


@lru_cache(maxsize=256)
def limits_argument(limits: Limits) -> Mapping[str, int]:
    """The argument `limits` of scripts that count: by counter, in parts of the unit, those that are set."""
    return {limit.counter: allowed * limit.unit.parts for limit, allowed in limits.items}


def amounts_argument(request: Request) -> dict[str, int]:
    """The argument `amounts` of RESERVE: what the request adds to each counter of the day."""
    return {limit.counter: request.amount(limit.unit) for limit in DAILY}


def restore_arguments(tenant: str, requests: Sequence[UnsyncedRequest], now: float) -> tuple[list[str], dict[str, Any]]:
    """The logs' keys and the arguments of RESTORE; `now` is of the clock of `UnsyncedRequest.moment`."""
    numbers: dict[str, int] = {}
    seconds: list[int] = []

    def number(request: UnsyncedRequest, limit: Limit) -> int:
        log = log_key(tenant, limit, request.client)
        if log not in numbers:
            numbers[log] = len(numbers) + 1
            seconds.append(limit.window.seconds)
        return numbers[log]

    encoded = [
        {
            "id": request.id,
            "age": microseconds(now - request.moment),
            "logs": [number(request, limit) for limit in request.limits],
        }
        for request in requests
    ]
    first = len(COMMON_KEYS) + 1
    logs = [{"key": first + index, "seconds": each} for index, each in enumerate(seconds)]
    return list(numbers), {"requests": encoded, "logs": logs}


def decode_seen(reply: Sequence[Any]) -> tuple[str, DayCounts]:
    """The reply of `seen`: the epoch and the day's counters."""
    return text(reply[0]), DayCounts(*(int(value) for value in reply[1 : 2 + len(DAILY)]))


def decode_counts(reply: Sequence[Any], today: DayCounts) -> Counts:
    """The reply of `counts`, after `decode_seen` has read its beginning."""
    now, concurrent, *numbers = (int(value) for value in reply[2 + len(DAILY) :])
    windows = dict(zip(SLIDING, _windows(numbers), strict=True))
    return Counts(datetime.fromtimestamp(now / MICROSECONDS, UTC), windows, concurrent, today)


def _windows(numbers: Sequence[int]) -> Iterator[WindowCounts]:
    for start in range(0, len(numbers), WINDOW_NUMBERS):
        requests, *times = numbers[start : start + WINDOW_NUMBERS]
        yield WindowCounts(requests, *(time / MICROSECONDS for time in times))


def text(value: Any) -> str:
    """A reply as str, whether or not the client decodes replies."""
    return value.decode() if isinstance(value, bytes) else str(value)
