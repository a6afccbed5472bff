"""No lane starves beside busier ones, and no team beside one that edits a hundred times a second."""

from __future__ import annotations

import math
from collections import Counter
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_operator.controller.fair_lanes import WEIGHTS, FairLanes, Lane
from tts_operator.controller.retry_budget import RetryBudget

KEYS = st.tuples(st.sampled_from("abcd"), st.integers(0, 5))
LANES = st.sampled_from(Lane)


class TeamKey(NamedTuple):
    team: str
    number: int


def lanes() -> FairLanes[TeamKey]:
    return FairLanes(lambda key: key.team)


def taken(queue: FairLanes[TeamKey], count: int) -> list[TeamKey]:
    return [queue.take()[0] for _ in range(count)]


def test_teams_take_turns() -> None:
    queue = lanes()
    for key in (*(TeamKey("busy", number) for number in range(100)), TeamKey("quiet", 0), TeamKey("other", 0)):
        queue.add(key, Lane.EDIT, 0.0)
    assert taken(queue, 4) == [TeamKey("busy", 0), TeamKey("quiet", 0), TeamKey("other", 0), TeamKey("busy", 1)]


def test_a_more_urgent_reason_moves_a_key_and_a_less_urgent_one_does_not() -> None:
    queue = lanes()
    key = TeamKey("a", 0)
    queue.add(key, Lane.RESYNC, 1.0)
    queue.add(key, Lane.TRANSITION, 2.0)
    queue.add(key, Lane.EDIT, 3.0)
    assert queue.take() == (key, Lane.TRANSITION, 1.0)
    with pytest.raises(IndexError):
        queue.take()


def test_busy_lanes_share_by_their_weights() -> None:
    queue = lanes()
    for lane in Lane:
        for number in range(1000):
            queue.add(TeamKey(lane.name, number), lane, 0.0)
    first = Counter(key.team for key in taken(queue, 1600))
    assert first == {lane.name: 100 * WEIGHTS[lane] for lane in Lane}


def test_a_lane_that_was_empty_has_saved_nothing_up() -> None:
    """An hour without transitions is no reason for an hour of nothing but transitions."""
    queue = lanes()
    for number in range(1000):
        queue.add(TeamKey("edits", number), Lane.EDIT, 0.0)
    taken(queue, 500)
    for number in range(500):
        queue.add(TeamKey("resync", number), Lane.RESYNC, 0.0)
    assert Counter(key.team for key in taken(queue, 60)) == {"edits": 50, "resync": 10}


@given(st.lists(st.tuples(KEYS, LANES), max_size=60), KEYS, LANES, st.lists(st.tuples(KEYS, LANES), max_size=400))
def test_a_key_is_handed_out_within_its_share_whatever_is_added_meanwhile(
    before: list[tuple[tuple[str, int], Lane]],
    key: tuple[str, int],
    lane: Lane,
    meanwhile: list[tuple[tuple[str, int], Lane]],
) -> None:
    """At most one turn of the other teams for each key of its own team, and the shares of the other lanes."""
    queue = lanes()
    for each, each_lane in before:
        if each != key:
            queue.add(TeamKey(*each), each_lane, 0.0)
    own = TeamKey(*key)
    queue.add(own, lane, 0.0)
    ahead = sum(each[0] == key[0] for each, each_lane in before if each_lane == lane)
    turns = (ahead + 1) * len("abcd")
    bound = math.ceil((turns + 1) * sum(WEIGHTS.values()) / WEIGHTS[lane]) + len(Lane)
    extra = iter(meanwhile)
    for count in range(1, bound + 1):
        if queue.take()[0] == own:
            return
        for each, each_lane in (pair for pair, _ in zip(extra, range(3), strict=False)):
            if each != key and each[0] != key[0]:
                queue.add(TeamKey(*each), each_lane, float(count))
    raise AssertionError(f"not within {bound}")


@given(st.lists(st.tuples(KEYS, LANES), max_size=100))
def test_every_key_is_handed_out_once(added: list[tuple[tuple[str, int], Lane]]) -> None:
    queue = lanes()
    for key, lane in added:
        queue.add(TeamKey(*key), lane, 0.0)
    distinct = {TeamKey(*key) for key, _ in added}
    assert len(queue) == len(distinct) == sum(queue.depth(lane) for lane in Lane)
    assert sorted(taken(queue, len(queue))) == sorted(distinct)
    assert all(queue.oldest_at(lane) is None for lane in Lane)


RECONCILE_SECONDS = 0.02
EDITS_PER_SECOND = 100


@pytest.mark.parametrize("lane", [Lane.EDIT, Lane.CHILD])
def test_a_quiet_team_waits_little_while_another_edits_a_hundred_times_a_second(lane: Lane) -> None:
    """There are twice as many edits as one worker can do, and the quiet team's repair is not late."""
    queue, now, waits = lanes(), 0.0, []
    edits = repairs = 0
    while now < 60:
        while edits < now * EDITS_PER_SECOND:
            queue.add(TeamKey("busy", edits % 500), Lane.EDIT, now)
            edits += 1
        while repairs < now:
            queue.add(TeamKey("quiet", repairs), lane, now)
            repairs += 1
        now += RECONCILE_SECONDS
        if len(queue):
            key, _, added_at = queue.take()
            if key.team == "quiet":
                waits.append(now - added_at)
    assert len(waits) >= 59
    assert sorted(waits)[int(len(waits) * 0.99) - 1] < 1.0
    assert max(waits) <= 5 * RECONCILE_SECONDS


def test_retries_are_limited_over_all_keys() -> None:
    budget = RetryBudget(per_second=10, burst=100)
    waits = [budget.wait_seconds(0.0) for _ in range(300)]
    assert waits[99] == 0
    assert waits[-1] == pytest.approx(20)
    assert budget.wait_seconds(1000.0) == 0, "what was not used is there again"
