"""A bill: cost and usage of each tenant on each UTC day. Money is a Decimal, never a float."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from tts_operator.objects.keys import Key

DAY = timedelta(days=1)
HOURS_A_DAY = 24
MICRO = Decimal("0.000001")
MILLION = 1_000_000
SECONDS_AN_HOUR = 3600
LEDGER, INCOMPLETE_LEDGER, METRICS, NONE = "ledger", "incomplete ledger", "metrics", "none"


@dataclass(frozen=True)
class Usage:
    """Speech that was served; characters are unknown where only metrics tell."""

    requests: int = 0
    characters: int | None = None
    audio_seconds: Decimal = Decimal()
    basis: str = NONE

    def __add__(self, other: Usage) -> Usage:
        if NONE in (self.basis, other.basis):
            return other if self.basis == NONE else self
        known = self.characters is not None and other.characters is not None
        return Usage(
            self.requests + other.requests,
            (self.characters or 0) + (other.characters or 0) if known else None,
            self.audio_seconds + other.audio_seconds,
            self.basis if self.basis == other.basis else f"{self.basis} and {other.basis}",
        )


@dataclass(frozen=True)
class Charge:
    """Cost and usage of a tenant between two instants."""

    tenant: Key
    start: datetime
    end: datetime
    cost: Decimal
    replica_hours: Decimal
    covered_hours: Decimal
    """Hours of the period for which the history has a price."""
    usage: Usage = Usage()

    @property
    def unit_price(self) -> Decimal | None:
        """Price of a replica hour; None without any."""
        return rounded(self.cost / self.replica_hours) if self.replica_hours else None

    @property
    def per_million_characters(self) -> Decimal | None:
        """Cost of a million characters; None where none was spoken or their number is unknown."""
        return rounded(self.cost * MILLION / self.usage.characters) if self.usage.characters else None

    @property
    def per_audio_hour(self) -> Decimal | None:
        """Cost of an hour of audio; None where there was none."""
        seconds = self.usage.audio_seconds
        return rounded(self.cost * SECONDS_AN_HOUR / seconds) if seconds else None


class History(NamedTuple):
    """Sums over the samples of one UTC day, by tenant."""

    day: date
    cost: Mapping[Key, Decimal]
    """Sum of the hourly costs of the samples."""
    replicas: Mapping[Key, Decimal]
    """Sum of the replicas of the samples."""
    samples: Mapping[Key, Decimal]
    """Number of samples that have a cost."""
    usage: Mapping[Key, Usage]


def days(first: date, end: date) -> Iterator[date]:
    """Days from the first to the one before the end."""
    return (first + DAY * number for number in range((end - first).days))


def midnight(day: date) -> datetime:
    """Beginning of a UTC day."""
    return datetime.combine(day, time(), UTC)


def rounded(amount: Decimal) -> Decimal:
    """Amount with six digits after the point."""
    return amount.quantize(MICRO, ROUND_HALF_UP)


def charges(history: History, step_seconds: int) -> list[Charge]:
    """Charges of one day. A sample holds for one step."""
    hours = Decimal(step_seconds) / SECONDS_AN_HOUR
    start = midnight(history.day)
    return [
        Charge(
            tenant,
            start,
            start + DAY,
            rounded(history.cost.get(tenant, Decimal()) * hours),
            rounded(history.replicas.get(tenant, Decimal()) * hours),
            rounded(history.samples.get(tenant, Decimal()) * hours),
            history.usage.get(tenant, Usage()),
        )
        for tenant in sorted({*history.cost, *history.replicas, *history.usage})
    ]


def by_tenant(parts: Iterable[Charge]) -> list[Charge]:
    """One charge for each tenant, the sum of its parts."""
    found: defaultdict[Key, list[Charge]] = defaultdict(list)
    for part in parts:
        found[part.tenant].append(part)
    return [summed(found[tenant]) for tenant in sorted(found)]


def summed(parts: Sequence[Charge]) -> Charge:
    """Sum of charges; its tenant is that of the first."""
    usage = parts[0].usage
    for part in parts[1:]:
        usage += part.usage
    return replace(
        parts[0],
        start=min(part.start for part in parts),
        end=max(part.end for part in parts),
        cost=sum((part.cost for part in parts), Decimal()),
        replica_hours=sum((part.replica_hours for part in parts), Decimal()),
        covered_hours=sum((part.covered_hours for part in parts), Decimal()),
        usage=usage,
    )
