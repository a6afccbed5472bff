"""What one replica knows of the counters that all share: it can tell that they were lost, and write them again."""

import uuid
from dataclasses import dataclass, field

from tts_server.quota.ledger import LEDGER_DAYS, Charge, LedgerKey, LedgerTotals
from tts_server.quota.limits import DayCounts
from tts_server.quota.recent_requests import Recent

LedgerLines = dict[tuple[int, LedgerKey], LedgerTotals]
"""Day and book to what this replica has entered there."""


@dataclass(slots=True)
class LastKnownCounts:
    """Of one tenant's counters."""

    epoch: str = ""
    seen: DayCounts | None = None
    """From here the day goes on where the counters are lost."""
    open: set[str] = field(default_factory=set)
    """Reservations of requests that are served here."""
    entered: LedgerLines = field(default_factory=dict)
    """In the ledger of this epoch."""
    lost: list[Charge] = field(default_factory=list)
    """Was in the ledger of an earlier one, and must be written again."""
    recent: Recent = field(default_factory=Recent)
    past: set[str] = field(default_factory=set)
    """Epochs that are over: answers from then may still be on their way."""

    def observe(self, epoch: str, seen: DayCounts) -> None:
        """What the counters said. Another epoch: what was entered is gone."""
        if epoch in self.past:
            return
        self.seen = seen
        if epoch == self.epoch:
            return
        self.lost += [_lost(day, book, line) for (day, book), line in self.entered.items()]
        self.past.add(self.epoch)
        self.entered, self.epoch = {}, epoch
        self.recent.mark_unreachable()

    def enter(self, epoch: str, day: int, book: LedgerKey, line: LedgerTotals) -> None:
        """Remember what the ledger holds of this replica's."""
        if epoch != self.epoch:
            self.lost.append(_lost(day, book, line))
            return
        self.entered[day, book] = self.entered.get((day, book), LedgerTotals()) + line
        for old in [key for key in self.entered if key[0] <= day - LEDGER_DAYS]:
            del self.entered[old]


def _lost(day: int, book: LedgerKey, line: LedgerTotals) -> Charge:
    return Charge(uuid.uuid4().hex, day, book, line, is_counted=True)
