"""Who goes together, and for how long the first waits: a rule for each, as tables."""

import pytest

from tts_server.scheduling.batching import Gathering, Measured, Sharing, worth_sharing
from tts_server.scheduling.fair_queue import FairQueue, Item, Priority, Turn

EIGHT = Sharing(8, 0.05)
BATCH = Turn(priority=Priority.BATCH)

WORTH: dict[str, tuple[Sharing | None, Measured | None, Sharing | None]] = {
    "a batch takes as long as one": (EIGHT, Measured(8, 0.1, 0.1), EIGHT),
    "a batch gains a quarter": (EIGHT, Measured(8, 0.1, 0.64), EIGHT),
    "a batch gains less": (EIGHT, Measured(8, 0.1, 0.65), None),
    "a batch takes longer than one after another": (EIGHT, Measured(8, 0.1, 1.0), None),
    "the engine takes fewer than are configured": (EIGHT, Measured(4, 0.1, 0.1), Sharing(4, 0.05)),
    "a batch of one": (Sharing(1, 0.05), Measured(8, 0.1, 0.1), None),
    "nothing is configured": (None, Measured(8, 0.1, 0.1), None),
    "the engine cannot": (EIGHT, None, None),
    "the clock did not tell": (EIGHT, Measured(8, 0.1, 0.0), None),
}


@pytest.mark.parametrize(("wanted", "measured", "expected"), WORTH.values(), ids=WORTH)
def test_worth_sharing(wanted: Sharing | None, measured: Measured | None, expected: Sharing | None) -> None:
    assert worth_sharing(wanted, measured) == expected


def item(turn: Turn = BATCH, cost: float = 10, arrived: float = 100.0) -> Item[str]:
    return FairQueue[str](lambda: arrived).push("", turn, cost)


def gathering(*items: Item[str], size: int = 3, wait_seconds: float = 0.05) -> Gathering[str]:
    found = Gathering(Sharing(size, wait_seconds), "fp32", items[0])
    found.items += items[1:]
    return found


ACCEPTS: dict[str, tuple[Gathering[str], str, Turn, float, bool]] = {
    "one of the same kind": (gathering(item(Turn())), "fp32", Turn(), 99, True),
    "one of another kind": (gathering(item(Turn())), "int8", Turn(), 1, False),
    "it is full": (gathering(item(), item(), item()), "fp32", Turn(), 1, False),
    "batch work no longer than the urgent": (gathering(item(Turn(), 10), item(BATCH, 5)), "fp32", BATCH, 10, True),
    "batch work longer than the urgent": (gathering(item(Turn(), 10)), "fp32", BATCH, 11, False),
    "long batch work among its own": (gathering(item(BATCH, 10)), "fp32", BATCH, 500, True),
    "the urgent joins batch work": (gathering(item(BATCH, 500)), "fp32", Turn(), 1, True),
}


@pytest.mark.parametrize(("found", "kind", "turn", "cost", "expected"), ACCEPTS.values(), ids=ACCEPTS)
def test_accepts(found: Gathering[str], kind: str, turn: Turn, cost: float, *, expected: bool) -> None:
    assert found.accepts(kind, turn, cost) == expected


WAITS: dict[str, tuple[Gathering[str], float, bool, float]] = {
    "alone, and nobody about": (gathering(item(arrived=100)), 100, False, 0),
    "alone, while others are spoken": (gathering(item(arrived=100), wait_seconds=0.5), 100.25, True, 0.25),
    "two of three": (gathering(item(arrived=100), item(), wait_seconds=0.5), 100.25, False, 0.25),
    "it waited in the queue": (gathering(item(arrived=100), item(), wait_seconds=0.5), 107, True, 0),
    "full": (gathering(item(), item(), item()), 100, True, 0),
}


@pytest.mark.parametrize(("found", "now", "company", "seconds"), WAITS.values(), ids=WAITS)
def test_wait_seconds(found: Gathering[str], now: float, seconds: float, *, company: bool) -> None:
    assert found.wait_seconds(now, company=company) == seconds
