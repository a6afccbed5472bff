"""The day's book: what was served, by model and precision. Its sums are those of the metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from tts_server.quota.limits import MICROSECONDS, microseconds

LEDGER_DAYS = 35
"""Kept: a month, and time to look at it."""
EPOCH = date(1970, 1, 1)

LedgerKey = tuple[str, str]
"""Model and precision: what one line is about."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One request that was served, wholly or in part."""

    model: str
    precision: str
    characters: int
    audio_seconds: float
    """Sent: of a reply that broke off, what had left."""
    cached: bool = False
    degraded: bool = False

    @property
    def book(self) -> LedgerKey:
        """Where it is entered."""
        return self.model, self.precision

    @property
    def line(self) -> "LedgerTotals":
        """What it adds there."""
        return LedgerTotals(1, self.characters, microseconds(self.audio_seconds), int(self.cached), int(self.degraded))


@dataclass(frozen=True, slots=True)
class LedgerTotals:
    """Sums over requests."""

    requests: int = 0
    characters: int = 0
    audio_microseconds: int = 0
    cached: int = 0
    degraded: int = 0

    @property
    def audio_seconds(self) -> float:
        """Sent."""
        return self.audio_microseconds / MICROSECONDS

    def __add__(self, other: "LedgerTotals") -> "LedgerTotals":
        return LedgerTotals(
            self.requests + other.requests,
            self.characters + other.characters,
            self.audio_microseconds + other.audio_microseconds,
            self.cached + other.cached,
            self.degraded + other.degraded,
        )


@dataclass(frozen=True, slots=True)
class Charge:
    """What was served while the shared counters could not be asked, and is owed to them."""

    id: str
    """Random: by it a charge that is sent twice is counted once."""
    day: int
    """Since 1970-01-01."""
    book: LedgerKey
    line: LedgerTotals
    is_counted: bool = False
    """The day's counts hold it already; only the ledger lacks it."""


@dataclass(frozen=True, slots=True)
class DayLedger:
    """One UTC day of one tenant. A request is entered on the day on which it was let in."""

    day: date
    lines: Mapping[LedgerKey, LedgerTotals]
    is_complete: bool = True
    """False: only what one replica has served, as nobody can ask for the others' part."""

    @property
    def total(self) -> LedgerTotals:
        """Of all models."""
        return sum(self.lines.values(), LedgerTotals())


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH).days


def day_of(number: int) -> date:
    """The inverse of `day_number`."""
    return EPOCH + timedelta(days=number)
