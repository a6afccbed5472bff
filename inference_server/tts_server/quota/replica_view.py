"""One replica's last known view of the shared counters, by which it notices that they were lost and restores them."""

import uuid
from dataclasses import dataclass, field

from tts_server.quota.ledger import LEDGER_DAYS, Charge, LedgerKey, LedgerTotals
from tts_server.quota.limits import DayCounts
from tts_server.quota.recent_requests import RecentRequests

LedgerLines = dict[tuple[int, LedgerKey], LedgerTotals]
"""UTC day number and line to the amounts that this replica has added."""


@dataclass(slots=True)
class LastKnownCounts:
    """This replica's last known view of one tenant's shared counters."""

    epoch: str = ""
    day_counts: DayCounts | None = None
    """The counters of the latest reply; lost counters are restored from them."""
    open: set[str] = field(default_factory=set)
    """Reservations of the requests that this replica serves."""
    entered: LedgerLines = field(default_factory=dict)
    """Amounts that the ledger of this epoch has from this replica."""
    lost: list[Charge] = field(default_factory=list)
    """Amounts that the ledger of an earlier epoch had, to be written again."""
    recent: RecentRequests = field(default_factory=RecentRequests)
    past_epochs: set[str] = field(default_factory=set)
    """Replies that were sent in one of these may still arrive."""

    def observe(self, epoch: str, day_counts: DayCounts) -> None:
        """Process a reply. A new epoch means that everything which was written before is lost."""
        if epoch in self.past_epochs:
            return
        self.day_counts = day_counts
        if epoch == self.epoch:
            return
        self.lost += [_lost(day, key, totals) for (day, key), totals in self.entered.items()]
        self.past_epochs.add(self.epoch)
        self.entered, self.epoch = {}, epoch
        self.recent.mark_unreachable()

    def enter(self, epoch: str, day: int, key: LedgerKey, totals: LedgerTotals) -> None:
        """Record that the ledger of that epoch has these amounts from this replica."""
        if epoch != self.epoch:
            self.lost.append(_lost(day, key, totals))
            return
        self.entered[day, key] = self.entered.get((day, key), LedgerTotals()) + totals
        for old in [entered for entered in self.entered if entered[0] <= day - LEDGER_DAYS]:
            del self.entered[old]


def _lost(day: int, key: LedgerKey, totals: LedgerTotals) -> Charge:
    return Charge(uuid.uuid4().hex, day, key, totals, is_counted=True)
