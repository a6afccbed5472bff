"""One suite over every Quota: what is let in, what is refused, what comes back. The harness says how time passes."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_server.admission.quota import Limits, MemoryQuota, Quota
from tts_server.errors import QuotaExceeded

ONE_A_MINUTE = Limits(requests_per_minute=1)
TEN_A_MINUTE = Limits(requests_per_minute=10)
NOON = datetime(2026, 11, 11, 12, tzinfo=UTC)


class QuotaHarness(Protocol):
    """An implementation, and time that passes when told."""

    quota: Quota

    async def advance(self, seconds: float) -> None: ...


@dataclass
class MemoryHarness:
    """Its clock starts at noon."""

    seconds: float = 1000.0

    def __post_init__(self) -> None:
        self.quota = MemoryQuota(lambda: self.seconds, lambda: NOON + timedelta(seconds=self.seconds - 1000))

    async def advance(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def memory_quota() -> MemoryHarness:
    return MemoryHarness()


@pytest.fixture(params=["memory"])
def harness(request: pytest.FixtureRequest) -> QuotaHarness:
    return cast("QuotaHarness", request.getfixturevalue(f"{request.param}_quota"))


async def test_a_failed_request_gives_back_what_it_reserved(harness: QuotaHarness) -> None:
    reservation = await harness.quota.reserve("acme", ONE_A_MINUTE)
    await reservation.give_back()
    assert await harness.quota.remaining("acme", ONE_A_MINUTE) == 1


async def test_giving_back_twice_gives_back_once(harness: QuotaHarness) -> None:
    first = await harness.quota.reserve("acme", TEN_A_MINUTE)
    await harness.quota.reserve("acme", TEN_A_MINUTE)
    await first.give_back()
    await first.give_back()
    assert await harness.quota.remaining("acme", TEN_A_MINUTE) == 9


async def test_a_spent_quota_returns_with_the_next_minute(harness: QuotaHarness) -> None:
    await harness.quota.reserve("acme", ONE_A_MINUTE)
    await harness.advance(seconds=59.9)
    assert await harness.quota.remaining("acme", ONE_A_MINUTE) == 0
    await harness.advance(seconds=0.1)
    assert await harness.quota.remaining("acme", ONE_A_MINUTE) == 1


async def test_a_refusal_says_which_limit_and_when(harness: QuotaHarness) -> None:
    await harness.quota.reserve("acme", ONE_A_MINUTE)
    await harness.advance(seconds=20)
    with pytest.raises(QuotaExceeded) as refused:
        await harness.quota.reserve("acme", ONE_A_MINUTE)
    assert refused.value.limit == "requestsPerMinute"
    assert refused.value.retry_after_seconds == pytest.approx(40)
    assert refused.value.resets_at == NOON + timedelta(seconds=60)


async def test_whoever_waits_as_told_is_let_in(harness: QuotaHarness) -> None:
    for _ in range(10):
        await harness.quota.reserve("acme", TEN_A_MINUTE)
        await harness.advance(seconds=1)
    with pytest.raises(QuotaExceeded) as refused:
        await harness.quota.reserve("acme", TEN_A_MINUTE)
    await harness.advance(refused.value.retry_after_seconds)
    await harness.quota.reserve("acme", TEN_A_MINUTE)


async def test_a_refused_request_is_not_counted(harness: QuotaHarness) -> None:
    await harness.quota.reserve("acme", ONE_A_MINUTE)
    for _ in range(5):
        await harness.advance(seconds=10)
        with pytest.raises(QuotaExceeded):
            await harness.quota.reserve("acme", ONE_A_MINUTE)
    await harness.advance(seconds=10)
    await harness.quota.reserve("acme", ONE_A_MINUTE)


async def test_tenants_do_not_share(harness: QuotaHarness) -> None:
    await harness.quota.reserve("acme", ONE_A_MINUTE)
    await harness.quota.reserve("globex", ONE_A_MINUTE)


async def test_no_limit_is_no_limit(harness: QuotaHarness) -> None:
    reservations = [await harness.quota.reserve("acme", Limits()) for _ in range(100)]
    assert {reservation.remaining for reservation in reservations} == {None}
    assert await harness.quota.remaining("acme", Limits()) is None


async def test_a_lowered_limit_holds_at_once_and_counts_what_was_before(harness: QuotaHarness) -> None:
    for _ in range(5):
        await harness.quota.reserve("acme", TEN_A_MINUTE)
        await harness.advance(seconds=1)
    with pytest.raises(QuotaExceeded) as refused:
        await harness.quota.reserve("acme", Limits(requests_per_minute=2))
    # Four of the five must be forgotten before there is room for one more beside the last.
    assert refused.value.retry_after_seconds == pytest.approx(58)
    assert await harness.quota.remaining("acme", Limits(requests_per_minute=2)) == 0


async def test_a_raised_limit_holds_at_once(harness: QuotaHarness) -> None:
    await harness.quota.reserve("acme", ONE_A_MINUTE)
    await harness.quota.reserve("acme", TEN_A_MINUTE)


def test_replicas_never_give_out_more_than_the_limit_together() -> None:
    for limit in range(3, 30):
        assert 3 * (Limits(limit).shared_by(3).requests_per_minute or 0) <= limit
    assert Limits(2).shared_by(3) == Limits(1), "but each gives out one"


@given(st.lists(st.tuples(st.floats(0, 30), st.booleans()), max_size=60), st.integers(1, 5))
async def test_no_sixty_seconds_see_more_than_the_limit(calls: list[tuple[float, bool]], limit: int) -> None:
    harness = MemoryHarness()
    limits = Limits(requests_per_minute=limit)
    kept: list[float] = []
    for wait, is_kept in calls:
        await harness.advance(wait)
        recent = sum(time > harness.seconds - 60 for time in kept)
        try:
            reservation = await harness.quota.reserve("acme", limits)
        except QuotaExceeded:
            assert recent == limit, "refused with room left"
            continue
        assert recent < limit, "let in without room"
        if is_kept:
            kept.append(harness.seconds)
        else:
            await reservation.give_back()
