"""The fair queue starves no tenant, shares by weight, and keeps each tenant's order."""

from collections import defaultdict
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_server.scheduling.fair_queue import FairQueue, Item, Priority, SchedulingParams
from tts_server.scheduling.throughput import Running, ThroughputEstimator

BATCH = Priority.BATCH
TENANTS = st.sampled_from(["acme", "blue", "coral"])
COSTS = st.integers(1, 400).map(float)


Work = TypeVar("Work")


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def drained(queue: FairQueue[Work]) -> list[Work]:
    found = []
    while (item := queue.pop()) is not None:
        found.append(item.work)
    return found


def test_interactive_goes_first_and_each_in_order() -> None:
    queue: FairQueue[str] = FairQueue(Clock())
    for name in ("b1", "i1", "b2", "i2"):
        queue.push(name, SchedulingParams(priority=BATCH if name[0] == "b" else Priority.INTERACTIVE), 10)
    assert drained(queue) == ["i1", "i2", "b1", "b2"]


def test_batch_that_has_aged_competes_as_if_it_were_interactive() -> None:
    clock = Clock()
    queue: FairQueue[str] = FairQueue(clock)
    queue.push("old batch", SchedulingParams(priority=BATCH, ages_after_seconds=5), 10)
    clock.seconds = 4.9
    queue.push("i1", SchedulingParams(), 10)
    queue.push("new batch", SchedulingParams(priority=BATCH, ages_after_seconds=5), 10)
    queue.push("i2", SchedulingParams(), 10)
    first = queue.pop()
    assert first is not None
    assert first.work == "i1"
    clock.seconds = 5
    assert drained(queue) == ["old batch", "i2", "new batch"]


def test_a_reply_that_is_hurried_takes_the_place_of_its_arrival_among_the_interactive() -> None:
    queue: FairQueue[str] = FairQueue(Clock())
    reply = object()
    items = [
        queue.push(name, SchedulingParams(priority=BATCH if name[0] == "b" else Priority.INTERACTIVE, reply=whose), 10)
        for name, whose in (("b1", None), ("i1", None), ("b2", reply), ("i2", reply), ("b3", reply), ("i3", None))
    ]
    queue.promote(reply)
    queue.promote(object())
    assert queue.remove(items[4])
    assert (len(queue), queue.ahead_of(SchedulingParams())) == (5, 40)
    assert drained(queue) == ["i1", "b2", "i2", "i3", "b1"]


def test_what_is_due_first_goes_first() -> None:
    """Whoever has heard everything waits for nobody's first sentence, and nobody waits for what is needed later."""
    clock = Clock()
    clock.seconds = 100
    queue: FairQueue[str] = FairQueue(clock)
    later = queue.push("needed in 4 s", SchedulingParams("acme", due=104), 10)
    queue.push("first of one", SchedulingParams("acme"), 10)
    queue.push("needed now", SchedulingParams("acme", due=99), 10)
    clock.seconds = 101
    queue.push("first of another", SchedulingParams("acme"), 10)
    queue.push("needed in 2 s", SchedulingParams("acme", due=103), 10)
    assert drained(queue) == ["needed now", "first of one", "first of another", "needed in 2 s", "needed in 4 s"]
    assert not queue.remove(later)


def test_what_is_due_later_is_not_ahead() -> None:
    queue: FairQueue[str] = FairQueue(Clock())
    for cost, params in enumerate(
        (
            SchedulingParams("acme", due=4),
            SchedulingParams("acme", due=-1),
            SchedulingParams("blue", due=4),
            SchedulingParams("acme"),
        ),
        1,
    ):
        queue.push("", params, 10**cost)
    assert queue.ahead_of(SchedulingParams("acme")) == 11_100
    assert queue.ahead_of(SchedulingParams("acme", due=4)) == 11_110


def test_what_is_due_late_is_not_put_off_for_ever() -> None:
    clock = Clock()
    queue: FairQueue[str] = FairQueue(clock)
    queue.push("late", SchedulingParams("acme", due=10), 10)
    served = []
    for _ in range(15):
        queue.push("first", SchedulingParams("acme"), 10)
        item = queue.pop()
        assert item is not None
        served.append(item.work)
        clock.seconds += 1
    assert served.index("late") == 10


def test_one_who_leaves_is_gone_at_once() -> None:
    queue: FairQueue[str] = FairQueue(Clock())
    items = [queue.push(name, SchedulingParams("acme"), 10) for name in "abc"]
    assert queue.remove(items[1])
    assert not queue.remove(items[1])
    assert len(queue) == queue.depth("acme") == 2
    assert queue.ahead_of(SchedulingParams("acme")) == 20
    assert drained(queue) == ["a", "c"]


def test_batch_is_not_ahead_of_interactive() -> None:
    queue: FairQueue[str] = FairQueue(Clock())
    queue.push("b", SchedulingParams(priority=BATCH), 100)
    queue.push("i", SchedulingParams(), 10)
    assert queue.ahead_of(SchedulingParams()) == 10
    assert queue.ahead_of(SchedulingParams(priority=BATCH)) == 110


# Weights whose quotients are exact: a rounded one may break a tie between two tenants the other way.
@given(
    st.lists(st.tuples(TENANTS, COSTS, st.sampled_from([1.0, 2.0, 8.0])), min_size=1, max_size=20), st.integers(0, 20)
)
def test_who_was_popped_too_early_is_put_back_as_if_it_never_was(
    pushed: list[tuple[str, float, float]], served: int
) -> None:
    def queue_after(*, put_back: bool) -> list[int]:
        queue: FairQueue[int] = FairQueue(Clock())
        for number, (tenant, cost, weight) in enumerate(pushed):
            queue.push(number, SchedulingParams(tenant, weight), cost)
        for _ in range(served):
            queue.pop()
        if put_back and (item := queue.pop()) is not None:
            queue.put_back(item)
        left = len(queue)
        order = drained(queue)
        assert len(order) == left
        return order

    assert queue_after(put_back=True) == queue_after(put_back=False)


@pytest.mark.parametrize(("cost", "weight"), [(124.0, 1.0), (0.1, 3.0), (7.0, 0.7), (1e-9, 1.0)])
def test_putting_back_keeps_a_tie(cost: float, weight: float) -> None:
    """A difference loses bits: (4.3 + 124) - 124 is not 4.3, and the tenant would lose its place to the other."""
    queue: FairQueue[str] = FairQueue(Clock())
    for tenant in ("acme", "blue"):
        queue.push(f"{tenant} 1", SchedulingParams(tenant), 4.3)
    for tenant in ("acme", "blue"):
        queue.push(f"{tenant} 2", SchedulingParams(tenant, weight), cost)
    assert [item.work for _ in range(2) if (item := queue.pop()) is not None] == ["acme 1", "blue 1"]
    taken = queue.pop()
    assert taken is not None
    assert taken.work == "acme 2"
    queue.put_back(taken)
    assert drained(queue) == ["acme 2", "blue 2"]


@given(
    weights=st.lists(st.sampled_from([1.0, 2.0, 5.0]), min_size=2, max_size=4),
    costs=st.lists(COSTS, min_size=20, max_size=80),
)
def test_while_all_of_them_wait_shares_are_weights(weights: list[float], costs: list[float]) -> None:
    """Goyal, Vin, Cheng 1996, theorem 1: shares differ by no more than the largest item of each."""
    queue: FairQueue[int] = FairQueue(Clock())
    tenants = [SchedulingParams(str(number), weight) for number, weight in enumerate(weights)]
    for params in tenants:
        for _ in range(2):
            queue.push(0, params, costs[0])
    served: dict[str, float] = defaultdict(float)
    for cost in costs:
        item = queue.pop()
        assert item is not None
        served[item.params.tenant] += item.cost
        queue.push(0, item.params, cost)
        shares = [served[params.tenant] / params.weight for params in tenants]
        for one in range(len(tenants)):
            for other in range(one):
                bound = max(costs) / tenants[one].weight + max(costs) / tenants[other].weight
                assert abs(shares[one] - shares[other]) <= bound + 1e-6


@given(st.data())
def test_nobody_starves_and_order_is_kept(data: st.DataObject) -> None:
    """Whatever comes, at most this much is served before an item that waits: what was there, and the others' shares."""
    clock = Clock()
    queue: FairQueue[int] = FairQueue(clock)
    waiting: dict[int, Item[int]] = {}
    passed: dict[int, int] = {}
    for number in range(data.draw(st.integers(1, 60))):
        clock.seconds += 1
        priority = data.draw(st.sampled_from(Priority))
        params = SchedulingParams(data.draw(TENANTS), 1.0, priority, ages_after_seconds=10)
        waiting[number] = queue.push(number, params, 10.0)
        passed[number] = 0
        if data.draw(st.booleans()):
            popped = queue.pop()
            assert popped is not None
            own = [i.number for i in waiting.values() if (i.params.tenant, i.params.priority) ==
                   (popped.params.tenant, popped.params.priority)]  # fmt: skip
            assert popped.number == min(own), "each tenant's own in order"
            del waiting[popped.work]
            for other in waiting:
                passed[other] += 1
            # Equal costs and weights: once it has aged, each other tenant is served once for each of its own.
            assert all(passed[other] <= 10 + 3 * (number + 1) for other in waiting)
    left = set()
    while (item := queue.pop()) is not None:
        left.add(item.work)
    assert left == set(waiting)
    assert len(queue) == 0


@pytest.mark.parametrize("flood", [1, 100, 1000])
def test_a_flood_of_one_tenant_does_not_delay_another(flood: int) -> None:
    queue: FairQueue[str] = FairQueue(Clock())
    for _ in range(flood):
        queue.push("flood", SchedulingParams("acme"), 100)
    queue.push("word", SchedulingParams("blue"), 10)
    assert "word" in {item.work for item in (queue.pop(), queue.pop()) if item is not None}


@given(
    weights=st.lists(st.sampled_from([0.5, 1.0, 2.0, 8.0]), min_size=3, max_size=3),
    waiting=st.lists(st.tuples(st.integers(0, 2), COSTS), max_size=30),
    served=st.integers(0, 30),
    own=st.integers(0, 2),
)
def test_what_is_ahead_is_what_is_served_before(
    weights: list[float], waiting: list[tuple[int, float]], served: int, own: int
) -> None:
    """Only requests whose wait would be too long are refused."""
    clock = Clock()
    queue: FairQueue[str] = FairQueue(clock)
    for tenant, cost in waiting:
        queue.push("other", SchedulingParams(str(tenant), weights[tenant]), cost)
    for _ in range(served):
        queue.pop()
    clock.seconds = 1
    expected = queue.ahead_of(SchedulingParams(str(own), weights[own]))
    queue.push("mine", SchedulingParams(str(own), weights[own]), 10)
    before = 0.0
    while (item := queue.pop()) is not None and item.work != "mine":
        before += item.cost
    assert before == expected


def test_a_flood_of_batch_is_not_ahead_of_another_tenants_batch_but_its_interactive_work_is() -> None:
    queue: FairQueue[str] = FairQueue(Clock())
    for priority, cost in ((BATCH, 100), (Priority.INTERACTIVE, 10)):
        for _ in range(5):
            queue.push("flood", SchedulingParams("acme", priority=priority), cost)
    assert queue.ahead_of(SchedulingParams("blue", priority=BATCH)) == 5 * 10
    assert queue.ahead_of(SchedulingParams("blue")) == 10, "a tie goes to who was there"
    assert queue.ahead_of(SchedulingParams("acme", priority=BATCH)) == 5 * 10 + 5 * 100


def test_aged_batch_is_served_although_interactive_work_never_ends() -> None:
    clock = Clock()
    queue: FairQueue[str] = FairQueue(clock)
    queue.push("batch", SchedulingParams("acme", priority=BATCH, ages_after_seconds=5), 10)
    served = []
    for _ in range(20):
        queue.push("interactive", SchedulingParams("blue"), 10)
        queue.push("interactive", SchedulingParams("acme"), 10)
        clock.seconds += 1
        item = queue.pop()
        assert item is not None
        served.append(item.work)
    assert "batch" not in served[:4]
    assert "batch" in served[4:6]


def test_idling_earns_no_credit() -> None:
    queue: FairQueue[str] = FairQueue(Clock())
    for _ in range(50):
        queue.push("acme", SchedulingParams("acme"), 10)
    for _ in range(40):
        queue.pop()
    for _ in range(10):
        queue.push("blue", SchedulingParams("blue"), 10)
    assert drained(queue)[:8].count("acme") >= 3


def test_every_change_of_a_tenants_depth_is_reported() -> None:
    seen: list[tuple[str, int]] = []
    queue = FairQueue[str](lambda: 0.0, lambda tenant, depth: seen.append((tenant, depth)))
    acme, beta = SchedulingParams("acme"), SchedulingParams("beta")
    first, second = queue.push("first", acme, 1), queue.push("second", acme, 1)
    queue.push("third", beta, 1)
    assert queue.pop() is first
    queue.put_back(first)
    queue.remove(second)
    queue.remove(second)
    assert seen == [("acme", 1), ("acme", 2), ("beta", 1), ("acme", 1), ("acme", 2), ("acme", 1)]


def test_a_wait_is_what_has_been_measured() -> None:
    throughput = ThroughputEstimator()
    assert throughput.wait_seconds(1000, 1) == 0, "nothing is known yet"
    throughput.observe(100, 1.0)
    assert throughput.wait_seconds(1000, 1) == 10
    assert throughput.wait_seconds(1000, 4) == 2.5
    for _ in range(50):
        throughput.observe(100, 2.0)
    assert throughput.wait_seconds(1000, 1) == pytest.approx(20, rel=0.01)


def test_until_something_was_measured_the_expected_value_counts() -> None:
    throughput = ThroughputEstimator(expected=2.0)
    assert not throughput.known
    assert throughput.wait_seconds(10, 1) == 20
    throughput.observe(10, 5.0)
    assert throughput.seconds_per_cost == 0.5


def test_what_is_overdue_is_expected_to_take_as_long_again() -> None:
    throughput = ThroughputEstimator(expected=2.0)
    running = [Running(cost=5, begun=100.0)]
    rests = {now: throughput.rest_seconds(running, now) for now in (100.0, 104.0, 110.0, 130.0)}
    assert rests == {100.0: 10, 104.0: 6, 110.0: 0, 130.0: 20}


def test_a_reply_that_is_always_late_does_not_keep_others_waiting() -> None:
    """An engine that is slower than playback is late with every utterance of a long reply."""
    now = 100.0
    queue = FairQueue[str](lambda: now)
    queue.push("short", SchedulingParams(), 1)
    now = 102.0
    queue.push("late", SchedulingParams(due=50.0), 1)
    assert queue.ahead_of(SchedulingParams(due=60.0)) == 2
    assert [item.work for item in iter(queue.pop, None) if item] == ["short", "late"]
