"""The daily usage ledger: what was served, by model and precision. Its sums equal those of the metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from tts_server.quota.limit_table import MICROSECONDS
from tts_server.quota.limits import microseconds

LEDGER_DAYS = 35
"""Days for which ledgers are kept: a month, and a few days to read it."""
EPOCH = date(1970, 1, 1)

LedgerKey = tuple[str, str]
"""Model and precision, which identify a line."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A request that was served, completely or in part."""

    model: str
    precision: str
    characters: int
    audio_seconds: float
    """Audio that was sent; of an aborted reply, the part that was sent."""
    cached: bool = False
    degraded: bool = False

    @property
    def key(self) -> LedgerKey:
        """The line to which it is added."""
        return self.model, self.precision

    @property
    def totals(self) -> "LedgerTotals":
        """The amounts that it adds to the line."""
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
    """Usage that the shared counters lack, because they were unavailable or lost."""

    id: str
    """Random. The store counts a charge that is sent twice once."""
    day: int
    """UTC day number."""
    key: LedgerKey
    totals: LedgerTotals
    is_counted: bool = False
    """The day's counters include it; only the ledger lacks it."""


@dataclass(frozen=True, slots=True)
class DayLedger:
    """The ledger of one UTC day of one tenant. A request belongs to the day on which it was admitted."""

    day: date
    lines: Mapping[LedgerKey, LedgerTotals]
    is_complete: bool = True
    """False: the store is unavailable, so this is only what one replica has served."""

    @property
    def total(self) -> LedgerTotals:
        """The sum of all lines."""
        return sum(self.lines.values(), LedgerTotals())


def day_number(day: date) -> int:
    """UTC day number: days since 1970-01-01."""
    return (day - EPOCH).days


def day_of(number: int) -> date:
    """The inverse of `day_number`."""
    return EPOCH + timedelta(days=number)
