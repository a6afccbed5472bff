"""A model's change goes to some tenants first: which ones, for how long, and what stops the others."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.operator_builders import NOON
from tts_operator.objects.keys import Key
from tts_operator.rollout.canary import (
    CANARY_FAILED,
    WAITING_FOR_CANARY,
    Canary,
    Phase,
    TenantState,
    canary_count,
    canary_state,
)

SOAK = timedelta(minutes=10)
CHANGE = Canary("espeak", "new", percent=10, soak_seconds=600)


def key(number: int) -> Key:
    return Key(f"team-{number}", "acme")


def before(number: int) -> TenantState:
    return TenantState(f"uid-{number}", Phase.BEFORE)


def fleet(*states: TenantState) -> dict[Key, TenantState]:
    return {key(number): state for number, state in enumerate(states)}


def runs(number: int, since: datetime = NOON, failure: str = "") -> TenantState:
    return TenantState(f"uid-{number}", Phase.RUNS, since, failure)


COUNTS = {"nobody": (0, 10, 0), "one": (1, 1, 1), "a few": (9, 10, 1), "rounded up": (11, 10, 2), "all": (7, 100, 7)}


@pytest.mark.parametrize(("tenants", "percent", "count"), COUNTS.values(), ids=COUNTS)
def test_the_share_has_at_least_one_tenant(tenants: int, percent: int, count: int) -> None:
    assert canary_count(tenants, percent) == count


def reason(state: TenantState, *others: TenantState, now: datetime = NOON) -> str | None:
    """Reason for which a tenant that has not begun may not, beside one in this state."""
    found = canary_state(CHANGE, fleet(state, *others))
    problem = found.blocked_reason(Key("team", "waits"), "espeak", now)
    return problem.reason if problem else None


STORIES: dict[str, tuple[TenantState, timedelta, str | None]] = {
    "nobody has begun": (before(0), SOAK, WAITING_FOR_CANARY),
    "the first one rolls": (TenantState("uid-0", Phase.ROLLS), SOAK, WAITING_FOR_CANARY),
    "the first one runs it": (runs(0), timedelta(), WAITING_FOR_CANARY),
    "it has nearly soaked": (runs(0), SOAK - timedelta(seconds=1), WAITING_FOR_CANARY),
    "it has soaked": (runs(0), SOAK, None),
    "it fails while it rolls": (TenantState("uid-0", Phase.ROLLS, failure="OOMKilled"), SOAK, CANARY_FAILED),
    "it fails after the soak time": (runs(0, failure="OOMKilled"), SOAK, CANARY_FAILED),
}


@pytest.mark.parametrize(("state", "later", "expected"), STORIES.values(), ids=STORIES)
def test_when_the_others_follow(state: TenantState, later: timedelta, expected: str | None) -> None:
    assert reason(state, before(1), before(2), now=NOON + later) == expected


def test_the_first_tenants_do_not_wait_for_themselves() -> None:
    state = canary_state(CHANGE, fleet(*map(before, range(5))))
    (first,) = state.tenants
    assert state.blocked_reason(first, "espeak", NOON) is None


def test_no_further_tenant_begins_once_it_fails_not_even_one_of_the_first() -> None:
    change = CHANGE._replace(percent=50)
    state = canary_state(change, fleet(runs(0, failure="OOMKilled"), *map(before, range(1, 4))))
    assert {state.blocked_reason(each, "espeak", NOON).reason for each in (*state.tenants, key(9))} == {  # type: ignore[union-attr] # each is blocked
        CANARY_FAILED
    }


def test_a_tenant_that_cannot_roll_does_not_hold_the_others_up() -> None:
    (first,) = canary_state(CHANGE, fleet(*map(before, range(5)))).tenants
    tenants = fleet(*map(before, range(5)))
    tenants[first] = TenantState(tenants[first].uid, Phase.UNFIT)
    (another,) = canary_state(CHANGE, tenants).tenants
    assert another != first


def test_the_message_names_no_other_tenant() -> None:
    found = canary_state(CHANGE, fleet(runs(0, failure="OOMKilled"), before(1)))
    problem = found.blocked_reason(key(1), "espeak", NOON)
    assert problem is not None
    assert "team-0" not in problem.message


def test_the_soak_time_begins_with_the_last_of_the_first() -> None:
    change = CHANGE._replace(percent=50)
    state = canary_state(change, fleet(runs(0, NOON), runs(1, NOON + SOAK), before(2), before(3)))
    assert state.soaks_until == NOON + 2 * SOAK


states = st.builds(
    TenantState,
    st.uuids().map(str),
    st.sampled_from(Phase),
    st.none()
    | st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)).map(lambda at: at.replace(tzinfo=NOON.tzinfo)),  # noqa: DTZ001 - given one at once
    st.sampled_from(["", "", "", "OOMKilled"]),
)
fleets = st.dictionaries(st.integers(0, 99).map(key), states, max_size=12)
changes = st.builds(Canary, st.just("espeak"), st.just("new"), st.integers(1, 100), st.integers(0, 3600))


@given(changes, fleets)
def test_the_first_are_so_many_of_the_fit(change: Canary, tenants: dict[Key, TenantState]) -> None:
    state = canary_state(change, tenants)
    fit = {each for each, found in tenants.items() if found.phase is not Phase.UNFIT}
    assert len(state.tenants) == canary_count(len(fit), change.percent)
    assert state.updated <= state.tenants <= fit
    assert bool(state.tenants) == bool(fit)


@given(changes, fleets, st.randoms())
def test_every_leader_chooses_the_same(change: Canary, tenants: dict[Key, TenantState], chance: object) -> None:
    shuffled = list(tenants.items())
    chance.shuffle(shuffled)  # type: ignore[attr-defined] # a Random
    assert canary_state(change, dict(shuffled)) == canary_state(change, tenants)


@given(changes, fleets, st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)))  # noqa: DTZ001 - given one below
def test_the_others_follow_only_after_the_first(change: Canary, tenants: dict[Key, TenantState], at: datetime) -> None:
    state, now = canary_state(change, tenants), at.replace(tzinfo=NOON.tzinfo)
    waits = state.blocked_reason(Key("team", "waits"), "espeak", now)
    if waits is None:
        assert state.updated == state.tenants
        assert not state.failures
        assert all(
            tenants[each].since is None or tenants[each].since + timedelta(seconds=change.soak_seconds) <= now  # type: ignore[operator] # not None
            for each in state.tenants
        )
    else:
        assert waits.reason == (CANARY_FAILED if state.failures else WAITING_FOR_CANARY)


@given(changes, fleets)
def test_a_tenant_that_begins_keeps_its_turn(change: Canary, tenants: dict[Key, TenantState]) -> None:
    """Those that take it first stay the same while they do."""
    first = canary_state(change, tenants).tenants
    rolling = {
        each: TenantState(found.uid, Phase.ROLLS) if each in first and found.phase is Phase.BEFORE else found
        for each, found in tenants.items()
    }
    assert canary_state(change, rolling).tenants == first


@given(changes, fleets)
def test_once_released_it_stays_released_while_more_run_it(change: Canary, tenants: dict[Key, TenantState]) -> None:
    state = canary_state(change, tenants)
    later = datetime(2028, 1, 1, tzinfo=NOON.tzinfo)
    if not state.released(later):
        return
    for each, found in tenants.items():
        if found.phase is Phase.BEFORE:
            assert canary_state(change, {**tenants, each: TenantState(found.uid, Phase.ROLLS)}).released(later)
