"""A replica keeps its own part of a ledger that others may lose."""

from dataclasses import replace

from tts_server.quota.ledger import LEDGER_DAYS, LedgerTotals
from tts_server.quota.limits import DayCounts
from tts_server.quota.replica_view import LastKnownCounts

BOOK = ("tone", "fp32")
ONE = LedgerTotals(1, 10, 500)
SEEN = DayCounts(100, 1, 10, 500)


def owed(memory: LastKnownCounts) -> LedgerTotals:
    return sum((charge.totals for charge in memory.lost), LedgerTotals())


def test_what_was_entered_before_the_counters_were_lost_is_owed() -> None:
    memory = LastKnownCounts()
    memory.observe("first", SEEN)
    for _ in range(3):
        memory.enter("first", 100, BOOK, ONE)
    memory.observe("first", SEEN)
    assert memory.lost == []
    memory.observe("second", SEEN)
    assert [(charge.day, charge.key, charge.totals, charge.is_counted) for charge in memory.lost] == [
        (100, BOOK, LedgerTotals(3, 30, 1500), True)
    ]
    memory.enter("second", 100, BOOK, ONE)
    memory.observe("third", SEEN)
    assert owed(memory) == LedgerTotals(4, 40, 2000)
    assert len({charge.id for charge in memory.lost}) == 2


def test_an_answer_that_comes_late_is_one_from_before() -> None:
    memory = LastKnownCounts()
    memory.observe("first", SEEN)
    memory.observe("second", SEEN)
    memory.enter("second", 100, BOOK, ONE)
    memory.observe("first", replace(SEEN, requests=70))
    assert memory.lost == [], "the second epoch goes on"
    assert memory.day_counts == SEEN, "and so does its day"
    memory.enter("first", 100, BOOK, ONE)
    assert owed(memory) == ONE, "it was entered in what is lost"
    assert memory.entered == {(100, BOOK): ONE}


def test_days_that_no_ledger_holds_are_forgotten() -> None:
    memory = LastKnownCounts()
    memory.observe("first", SEEN)
    for day in (100, 100 + LEDGER_DAYS - 1, 100 + LEDGER_DAYS):
        memory.enter("first", day, BOOK, ONE)
    assert {day for day, _ in memory.entered} == {100 + LEDGER_DAYS - 1, 100 + LEDGER_DAYS}
