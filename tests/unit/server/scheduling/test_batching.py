"""Which utterances share a batch, and how long the first waits: a table for each rule."""

import pytest

from tts_server.scheduling.batching import BatchCost, BatchPolicy, PendingBatch, worth_batching
from tts_server.scheduling.fair_queue import FairQueue, Item, Priority, SchedulingParams

EIGHT = BatchPolicy(8, 0.05)
BATCH = SchedulingParams(priority=Priority.BATCH)

WORTH: dict[str, tuple[BatchPolicy | None, BatchCost | None, BatchPolicy | None]] = {
    "a batch takes as long as one": (EIGHT, BatchCost(8, 0.1, 0.1), EIGHT),
    "a batch gains a quarter": (EIGHT, BatchCost(8, 0.1, 0.64), EIGHT),
    "a batch gains less": (EIGHT, BatchCost(8, 0.1, 0.65), None),
    "a batch takes longer than one after another": (EIGHT, BatchCost(8, 0.1, 1.0), None),
    "the engine takes fewer than are configured": (EIGHT, BatchCost(4, 0.1, 0.1), BatchPolicy(4, 0.05)),
    "a batch of one": (BatchPolicy(1, 0.05), BatchCost(8, 0.1, 0.1), None),
    "nothing is configured": (None, BatchCost(8, 0.1, 0.1), None),
    "the engine cannot": (EIGHT, None, None),
    "the clock did not tell": (EIGHT, BatchCost(8, 0.1, 0.0), None),
}


@pytest.mark.parametrize(("wanted", "measured", "expected"), WORTH.values(), ids=WORTH)
def test_worth_batching(wanted: BatchPolicy | None, measured: BatchCost | None, expected: BatchPolicy | None) -> None:
    assert worth_batching(wanted, measured) == expected


def item(params: SchedulingParams = BATCH, cost: float = 10, arrived: float = 100.0) -> Item[str]:
    return FairQueue[str](lambda: arrived).push("", params, cost)


def gathering(*items: Item[str], size: int = 3, wait_seconds: float = 0.05) -> PendingBatch[str]:
    found = PendingBatch(BatchPolicy(size, wait_seconds), "fp32", items[0])
    found.items += items[1:]
    return found


ACCEPTS: dict[str, tuple[PendingBatch[str], str, SchedulingParams, float, bool]] = {
    "one of the same kind": (gathering(item(SchedulingParams())), "fp32", SchedulingParams(), 99, True),
    "one of another kind": (gathering(item(SchedulingParams())), "int8", SchedulingParams(), 1, False),
    "it is full": (gathering(item(), item(), item()), "fp32", SchedulingParams(), 1, False),
    "batch work no longer than the urgent": (
        gathering(item(SchedulingParams(), 10), item(BATCH, 5)),
        "fp32",
        BATCH,
        10,
        True,
    ),
    "batch work longer than the urgent": (gathering(item(SchedulingParams(), 10)), "fp32", BATCH, 11, False),
    "long batch work among its own": (gathering(item(BATCH, 10)), "fp32", BATCH, 500, True),
    "the urgent joins batch work": (gathering(item(BATCH, 500)), "fp32", SchedulingParams(), 1, True),
}


@pytest.mark.parametrize(("found", "kind", "params", "cost", "expected"), ACCEPTS.values(), ids=ACCEPTS)
def test_accepts(found: PendingBatch[str], kind: str, params: SchedulingParams, cost: float, *, expected: bool) -> None:
    assert found.accepts(kind, params, cost) == expected


WAITS: dict[str, tuple[PendingBatch[str], float, bool, float]] = {
    "alone, and nobody about": (gathering(item(arrived=100)), 100, False, 0),
    "alone, while others are spoken": (gathering(item(arrived=100), wait_seconds=0.5), 100.25, True, 0.25),
    "two of three": (gathering(item(arrived=100), item(), wait_seconds=0.5), 100.25, False, 0.25),
    "it waited in the queue": (gathering(item(arrived=100), item(), wait_seconds=0.5), 107, True, 0),
    "full": (gathering(item(), item(), item()), 100, True, 0),
}


@pytest.mark.parametrize(("found", "now", "company", "seconds"), WAITS.values(), ids=WAITS)
def test_wait_seconds(found: PendingBatch[str], now: float, seconds: float, *, company: bool) -> None:
    assert found.wait_seconds(now, company=company) == seconds
