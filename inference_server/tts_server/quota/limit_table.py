"""The table of limits. Counters, scripts, headers, `/v1/usage` and metrics are made from its rows.

A limit is a row of `LIMITS`, a field of `Limits`, and a field of the same name in `QuotaConfig`.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import Any

from pydantic.alias_generators import to_snake

from tts_server.config.schema import QuotaConfig
from tts_server.errors import DayQuotaExceeded, QuotaExceeded

MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """The thing that a limit counts."""

    name: str
    """`qu` of `RateLimit-Policy`."""
    parts: int = 1
    """Parts of one in which counters count."""


REQUESTS = Unit("requests")
CONCURRENT_REQUESTS = Unit("concurrent-requests")
CHARACTERS = Unit("characters")
AUDIO_SECONDS = Unit("audio-seconds", MICROSECONDS)
"""Counted in whole microseconds, so that sums over a day are exact wherever they are kept."""


class Kind(Enum):
    """How a counter forgets."""

    SLIDING = "sliding"
    """Each request is forgotten `seconds` after it was admitted. Counts requests only."""
    UTC_DAY = "day"
    """The counter restarts at midnight UTC."""
    LEASE = "lease"
    """A request counts while it is served, and while its server renews the lease."""
    PER_REQUEST = "request"
    """Nothing is counted: each request is compared with the limit alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """The time that a limit is about."""

    kind: Kind
    words: str
    """Completes "10 ..." in a message to a caller."""
    seconds: int = 0
    """0 for a window without a length."""


MINUTE = Window(Kind.SLIDING, "in any 60 seconds", 60)
DAY = Window(Kind.UTC_DAY, "a day (UTC)", 86_400)
ACTIVE = Window(Kind.LEASE, "at the same time")
ONE_REQUEST = Window(Kind.PER_REQUEST, "in one request")


class Scope(Enum):
    """The callers who share one counter."""

    TENANT = "tenant"
    CLIENT = "client"
    """One API key or token subject; without either, one address."""


@dataclass(frozen=True, slots=True, eq=False)
class Limit:
    """A row of the table. Rows are compared by identity: each exists once."""

    name: str
    """Its name in `spec.quota`, `quota.json`, headers, `/v1/usage`, `error.limit`, and the label `quota` of metrics."""
    unit: Unit
    window: Window
    counter: str = ""
    """Its counter in Redis, a name in Lua: the log of a sliding window, or a field of the day's hash."""
    scope: Scope = Scope.TENANT
    openai: str = ""
    """Last word of OpenAI's `x-ratelimit-*` headers; empty for a limit that OpenAI has no header for."""
    field: str = dataclasses.field(init=False)
    """Its field in `Limits` and `QuotaConfig`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "field", to_snake(self.name))

    @property
    def words(self) -> str:
        """Completes "10 ..." in a message to a caller."""
        return f"of one client {self.window.words}" if self.scope is Scope.CLIENT else self.window.words

    @property
    def policy(self) -> str:
        """Parameters of its item in `RateLimit-Policy`: `w`, the window in seconds, and `qu`, the unit."""
        window = f";w={self.window.seconds}" if self.window.seconds else ""
        return window if self.unit is REQUESTS else f'{window};qu="{self.unit.name}"'

    @property
    def error(self) -> type[QuotaExceeded]:
        """Raised by a request that exceeds it."""
        return DayQuotaExceeded if self.window is DAY else QuotaExceeded


# The order is that of headers and of /v1/usage.
LIMITS = (
    Limit("requestsPerMinute", REQUESTS, MINUTE, "minute", openai="requests"),
    Limit("perClientRequestsPerMinute", REQUESTS, MINUTE, "client", Scope.CLIENT),
    Limit("concurrentRequests", CONCURRENT_REQUESTS, ACTIVE, "leases"),
    Limit("requestsPerDay", REQUESTS, DAY, "requests"),
    Limit("charactersPerDay", CHARACTERS, DAY, "characters"),
    Limit("audioSecondsPerDay", AUDIO_SECONDS, DAY, "audio"),
    Limit("maxTextCharacters", CHARACTERS, ONE_REQUEST),
)
BY_NAME = {limit.name: limit for limit in LIMITS}


def _of_kind(kind: Kind) -> tuple[Limit, ...]:
    return tuple(limit for limit in LIMITS if limit.window.kind is kind)


SLIDING = _of_kind(Kind.SLIDING)
DAILY = _of_kind(Kind.UTC_DAY)
CONCURRENT = _of_kind(Kind.LEASE)
COUNTED = tuple(limit for limit in LIMITS if limit.window.kind is not Kind.PER_REQUEST)
METERED = frozenset(limit.name for limit in COUNTED if limit.scope is Scope.TENANT)
"""Limits with a series in `tts_quota_remaining`: one number cannot tell what is left for every client."""


@dataclass(frozen=True)
class Limits:
    """The limits of one tenant that are counted; None is unlimited."""

    requests_per_minute: int | None = None
    per_client_requests_per_minute: int | None = None
    concurrent_requests: int | None = None
    requests_per_day: int | None = None
    characters_per_day: int | None = None
    audio_seconds_per_day: int | None = None
    replicas: int = 1
    """Servers that enforce these limits together. One that cannot see the others' counts enforces its share."""

    @classmethod
    def of(cls, config: QuotaConfig, replicas: int) -> "Limits":
        """The counted limits of `quota.json`."""
        return cls(**{limit.field: getattr(config, limit.field) for limit in COUNTED}, replicas=replicas)

    def allowed(self, limit: Limit) -> int | None:
        """The value of one limit."""
        value: int | None = getattr(self, limit.field)
        return value

    @cached_property
    def items(self) -> tuple[tuple[Limit, int], ...]:
        """The limits that are set, with their values, in the order of the table."""
        return tuple((limit, value) for limit in COUNTED if (value := self.allowed(limit)) is not None)

    @property
    def share(self) -> "Limits":
        """The share of one of `replicas` servers that cannot see each other's counts."""
        return self if self.replicas == 1 else self.shared_by(self.replicas)

    def shared_by(self, replicas: int) -> "Limits":
        """The share of one of so many replicas, at least one of everything."""
        return Limits().with_values({limit: max(1, value // replicas) for limit, value in self.items})

    def with_values(self, allowed: Mapping[Limit, int]) -> "Limits":
        """These limits with other values of some."""
        changes: dict[str, Any] = {limit.field: value for limit, value in allowed.items()}
        return replace(self, **changes)
