"""One suite over every Quota: what is let in, what is refused, what comes back. The harness says how time passes."""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.quota_harness import DAY_SECONDS, HARNESSES, MemoryHarness, QuotaHarness
from tests.support.redis_server import CounterStore, counter_store
from tts_server.errors import DayQuotaExceeded, QuotaExceeded
from tts_server.quota.ledger import Entry, LedgerTotals
from tts_server.quota.limit_table import Limits
from tts_server.quota.limits import DayCounts, Remaining, Request
from tts_server.quota.memory_quota import MemoryQuota
from tts_server.quota.protocol import LEASE_SECONDS, Reservation

ONE_A_MINUTE = Limits(requests_per_minute=1)
TEN_A_MINUTE = Limits(requests_per_minute=10)
MINUTE = "requestsPerMinute"
SLACK_SECONDS = 2.0
"""Real time passes, too, where the clock is not ours."""


def entry(audio_seconds: float = 1.0, characters: int = 10, model: str = "tone", **flags: bool) -> Entry:
    return Entry(model, "fp32", characters, audio_seconds, **flags)


@pytest.fixture(scope="module")
def store() -> Iterator[CounterStore]:
    with counter_store() as running:
        yield running


@pytest.fixture(params=HARNESSES)
async def harness(request: pytest.FixtureRequest, store: CounterStore) -> AsyncIterator[QuotaHarness]:
    async with HARNESSES[request.param](store) as made:
        yield made


async def left(harness: QuotaHarness, limits: Limits, limit: str = MINUTE, client: str = "") -> int | None:
    found = (await harness.quota.remaining("acme", limits, client)).get(limit)
    return None if found is None else found.remaining


async def test_a_failed_request_gives_back_what_it_reserved(harness: QuotaHarness) -> None:
    reservation = await harness.quota.reserve("acme", ONE_A_MINUTE)
    await reservation.give_back()
    assert await left(harness, ONE_A_MINUTE) == 1


async def test_giving_back_twice_gives_back_once(harness: QuotaHarness) -> None:
    first = await harness.quota.reserve("acme", TEN_A_MINUTE)
    await harness.quota.reserve("acme", TEN_A_MINUTE)
    await first.give_back()
    await first.give_back()
    assert await left(harness, TEN_A_MINUTE) == 9


async def test_a_spent_quota_returns_with_the_next_minute(harness: QuotaHarness) -> None:
    await harness.quota.reserve("acme", ONE_A_MINUTE)
    await harness.advance(seconds=57)
    assert await left(harness, ONE_A_MINUTE) == 0
    await harness.advance(seconds=3)
    assert await left(harness, ONE_A_MINUTE) == 1


async def test_a_refusal_says_which_limit_and_when(harness: QuotaHarness) -> None:
    await harness.quota.reserve("acme", ONE_A_MINUTE)
    await harness.advance(seconds=20)
    with pytest.raises(QuotaExceeded) as refused:
        await harness.quota.reserve("acme", ONE_A_MINUTE)
    assert refused.value.limit == "requestsPerMinute"
    assert refused.value.allowed == 1
    assert refused.value.code == "rate_limit_exceeded"
    assert refused.value.retry_after_seconds == pytest.approx(40, abs=SLACK_SECONDS)
    assert refused.value.resets_at is not None
    assert refused.value.resets_at.utcoffset() == timedelta(0)
    waits = refused.value.resets_at - await harness.now()
    assert waits.total_seconds() == pytest.approx(40, abs=SLACK_SECONDS)


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
    for _ in range(100):
        assert (await harness.quota.reserve("acme", Limits())).limit_status == {}
    assert await harness.quota.remaining("acme", Limits()) == {}


async def test_a_lowered_limit_holds_at_once_and_counts_what_was_before(harness: QuotaHarness) -> None:
    for _ in range(5):
        await harness.quota.reserve("acme", TEN_A_MINUTE)
        await harness.advance(seconds=1)
    with pytest.raises(QuotaExceeded) as refused:
        await harness.quota.reserve("acme", Limits(requests_per_minute=2))
    # Four of the five must be forgotten before there is room for one more beside the last.
    assert refused.value.retry_after_seconds == pytest.approx(58, abs=0.5)
    assert await left(harness, Limits(requests_per_minute=2)) == 0


async def test_a_raised_limit_holds_at_once(harness: QuotaHarness) -> None:
    await harness.quota.reserve("acme", ONE_A_MINUTE)
    await harness.quota.reserve("acme", TEN_A_MINUTE)


async def test_what_is_left_and_when_it_grows_is_told_with_each_request(harness: QuotaHarness) -> None:
    await harness.quota.reserve("acme", TEN_A_MINUTE)
    await harness.advance(seconds=15)
    reservation = await harness.quota.reserve("acme", TEN_A_MINUTE)
    limit, remaining, resets_after_seconds = reservation.limit_status[MINUTE]
    assert (limit, remaining) == (10, 8)
    assert resets_after_seconds == pytest.approx(45, abs=SLACK_SECONDS)
    assert await harness.quota.remaining("globex", TEN_A_MINUTE) == {MINUTE: Remaining(10, 10, 0.0)}


async def test_one_client_cannot_take_the_minute_of_another(harness: QuotaHarness) -> None:
    limits = Limits(requests_per_minute=3, per_client_requests_per_minute=2)
    for _ in range(2):
        await harness.quota.reserve("acme", limits, Request(client="ann"))
    with pytest.raises(QuotaExceeded) as refused:
        await harness.quota.reserve("acme", limits, Request(client="ann"))
    assert refused.value.limit == "perClientRequestsPerMinute"
    assert await left(harness, limits) == 1, "the refused one took nothing of the tenant's limit"
    last = await harness.quota.reserve("acme", limits, Request(client="bob"))
    assert {name: one.remaining for name, one in last.limit_status.items()} == {MINUTE: 0, refused.value.limit: 1}
    await last.give_back()
    assert await left(harness, limits, refused.value.limit, client="bob") == 2
    await harness.advance(seconds=60)
    assert await left(harness, limits, refused.value.limit, client="ann") == 2


async def test_so_many_at_a_time(harness: QuotaHarness) -> None:
    limits = Limits(concurrent_requests=2)
    first = await harness.quota.reserve("acme", limits)
    second = await harness.quota.reserve("acme", limits)
    with pytest.raises(QuotaExceeded) as refused:
        await harness.quota.reserve("acme", limits)
    assert (refused.value.limit, refused.value.retry_after_seconds) == ("concurrentRequests", 1.0)
    await first.settle(entry())
    third = await harness.quota.reserve("acme", limits)
    await second.give_back()
    await third.give_back()
    assert await left(harness, limits, "concurrentRequests") == 2


async def test_a_day_has_so_many_requests(harness: QuotaHarness) -> None:
    limits = Limits(requests_per_day=2)
    await (await harness.quota.reserve("acme", limits)).settle(entry())
    await (await harness.quota.reserve("acme", limits)).give_back()
    await harness.quota.reserve("acme", limits)
    with pytest.raises(DayQuotaExceeded) as refused:
        await harness.quota.reserve("acme", limits)
    assert (refused.value.limit, refused.value.code) == ("requestsPerDay", "insufficient_quota")
    now = await harness.now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    assert refused.value.retry_after_seconds == pytest.approx((midnight - now).total_seconds(), abs=SLACK_SECONDS)
    assert refused.value.resets_at is not None
    assert abs(refused.value.resets_at - midnight) < timedelta(seconds=SLACK_SECONDS)
    await harness.midnight()
    assert await left(harness, limits, "requestsPerDay") == 2
    await harness.quota.reserve("acme", limits)


async def test_characters_are_charged_when_a_request_is_let_in(harness: QuotaHarness) -> None:
    limits = Limits(characters_per_day=100)
    reservation = await harness.quota.reserve("acme", limits, Request(characters=60))
    assert reservation.limit_status["charactersPerDay"].remaining == 40
    with pytest.raises(DayQuotaExceeded) as refused:
        await harness.quota.reserve("acme", limits, Request(characters=41))
    assert refused.value.remaining == 40
    await harness.quota.reserve("acme", limits, Request(characters=40))
    await reservation.give_back()
    assert await left(harness, limits, "charactersPerDay") == 60


async def test_audio_is_reserved_by_estimate_and_settled_to_what_was_sent(harness: QuotaHarness) -> None:
    limits = Limits(audio_seconds_per_day=100)
    reservation = await harness.quota.reserve("acme", limits, Request(audio_seconds=80))
    with pytest.raises(DayQuotaExceeded):
        await harness.quota.reserve("acme", limits, Request(audio_seconds=20.5))
    await reservation.settle(entry(audio_seconds=12.25))
    assert await left(harness, limits, "audioSecondsPerDay") == 87
    more = await harness.quota.reserve("acme", limits, Request(audio_seconds=1))
    await more.settle(entry(audio_seconds=200))
    assert await left(harness, limits, "audioSecondsPerDay") == 0, "what was sent counts, even beyond the limit"


async def test_a_request_ends_once(harness: QuotaHarness) -> None:
    limits = Limits(requests_per_day=10, characters_per_day=1000, audio_seconds_per_day=100)
    settled = await harness.quota.reserve("acme", limits, Request(characters=5, audio_seconds=7))
    for _ in range(3):
        await settled.settle(entry(audio_seconds=4, characters=5))
        await settled.give_back()
    returned = await harness.quota.reserve("acme", limits, Request(characters=5, audio_seconds=7))
    for _ in range(3):
        await returned.give_back()
        await returned.settle(entry(audio_seconds=4, characters=5))
    found = await harness.quota.remaining("acme", limits)
    assert {name: one.remaining for name, one in found.items()} == {
        "requestsPerDay": 9, "charactersPerDay": 995, "audioSecondsPerDay": 96,
    }  # fmt: skip
    assert (await harness.quota.ledger("acme")).total == LedgerTotals(1, 5, 4_000_000)


async def test_what_comes_out_of_the_cache_is_no_audio(harness: QuotaHarness) -> None:
    limits = Limits(requests_per_day=10, characters_per_day=1000, audio_seconds_per_day=100)
    hit = await harness.quota.reserve("acme", limits, Request(characters=5, audio_seconds=7))
    await hit.settle(entry(audio_seconds=0, characters=5, cached=True))
    found = await harness.quota.remaining("acme", limits)
    assert [one.remaining for one in found.values()] == [9, 995, 100]
    assert (await harness.quota.ledger("acme")).total == LedgerTotals(1, 5, 0, cached=1)


async def test_nothing_is_counted_under_one_limit_when_another_refuses(harness: QuotaHarness) -> None:
    limits = Limits(
        requests_per_minute=5, per_client_requests_per_minute=5, concurrent_requests=5, requests_per_day=5,
        characters_per_day=10, audio_seconds_per_day=5,
    )  # fmt: skip
    before = await harness.quota.remaining("acme", limits, "ann")
    for _ in range(3):
        with pytest.raises(QuotaExceeded) as refused:
            await harness.quota.reserve("acme", limits, Request(characters=11, audio_seconds=1, client="ann"))
        assert refused.value.limit == "charactersPerDay"
    after = await harness.quota.remaining("acme", limits, "ann")
    assert {name: one.remaining for name, one in after.items()} == {name: one.remaining for name, one in before.items()}


async def test_of_several_limits_the_one_that_lasts_longest_is_named(harness: QuotaHarness) -> None:
    limits = Limits(requests_per_minute=1, concurrent_requests=1, requests_per_day=1)
    await harness.quota.reserve("acme", limits)
    with pytest.raises(QuotaExceeded) as refused:
        await harness.quota.reserve("acme", limits)
    assert refused.value.limit == "requestsPerDay"
    with pytest.raises(QuotaExceeded) as refused:
        await harness.quota.reserve("acme", Limits(requests_per_minute=1, concurrent_requests=1))
    assert refused.value.limit == "requestsPerMinute"


async def test_the_ledger_has_a_line_for_each_model_and_precision(harness: QuotaHarness) -> None:
    for one in (
        Entry("tone", "fp32", 10, 1.5),
        Entry("tone", "int8", 20, 0.000001, degraded=True),
        Entry("tone", "fp32", 1, 0.25, cached=True),
        Entry("a model: with words", "fp16", 3, 2),
    ):
        await (await harness.quota.reserve("acme", Limits())).settle(one)
    ledger = await harness.quota.ledger("acme")
    assert ledger.day == (await harness.now()).date()
    assert ledger.lines == {
        ("tone", "fp32"): LedgerTotals(2, 11, 1_750_000, cached=1),
        ("tone", "int8"): LedgerTotals(1, 20, 1, degraded=1),
        ("a model: with words", "fp16"): LedgerTotals(1, 3, 2_000_000),
    }
    assert (await harness.quota.ledger("globex")).lines == {}


async def test_a_request_over_midnight_belongs_to_the_day_on_which_it_was_let_in(harness: QuotaHarness) -> None:
    limits = Limits(requests_per_day=5, audio_seconds_per_day=50)
    settled, returned = [await harness.quota.reserve("acme", limits, Request(audio_seconds=9)) for _ in range(2)]
    await harness.midnight()
    fresh = {name: one.remaining for name, one in (await harness.quota.remaining("acme", limits)).items()}
    assert fresh == {"requestsPerDay": 5, "audioSecondsPerDay": 50}
    today = await harness.quota.reserve("acme", limits, Request(audio_seconds=20))
    await returned.give_back()
    await settled.settle(entry(audio_seconds=1))
    assert await left(harness, limits, "audioSecondsPerDay") == 30
    await today.give_back()
    after = {name: one.remaining for name, one in (await harness.quota.remaining("acme", limits)).items()}
    assert after == fresh, "yesterday's requests take nothing from today, and give it nothing"


@pytest.mark.parametrize(
    "steps", [(-600,), (600, -600), (-600, 600)], ids=["back", "ahead and right", "back and right"]
)
async def test_a_clock_that_is_set_refuses_nobody_for_longer_than_a_window(
    harness: QuotaHarness, steps: tuple[float, ...]
) -> None:
    limits = Limits(requests_per_minute=2, per_client_requests_per_minute=1)
    for step in steps:
        await spend(harness, limits)
        await harness.set_clock(step)
    await spend(harness, limits)
    with pytest.raises(QuotaExceeded) as refused:
        await harness.quota.reserve("acme", limits, Request(client="ann"))
    assert refused.value.retry_after_seconds <= 60
    await harness.advance(seconds=60)
    found = await harness.quota.remaining("acme", limits, "ann")
    assert [one.remaining for one in found.values()] == [2, 1]


async def spend(harness: QuotaHarness, limits: Limits) -> None:
    """Requests of three clients, until all are refused."""
    for client in ("ann", "bob", "carl"):
        with suppress(QuotaExceeded):
            await harness.quota.reserve("acme", limits, Request(client=client))


async def test_requests_of_before_a_clock_was_set_back_still_count(harness: QuotaHarness) -> None:
    await harness.quota.reserve("acme", TEN_A_MINUTE)
    await harness.set_clock(-3600)
    assert await left(harness, TEN_A_MINUTE) == 9
    await harness.advance(seconds=30)
    await harness.quota.reserve("acme", TEN_A_MINUTE)
    await harness.advance(seconds=30)
    assert await left(harness, TEN_A_MINUTE) == 9


@pytest.mark.parametrize("step", [DAY_SECONDS, -DAY_SECONDS], ids=["tomorrow", "yesterday"])
async def test_a_days_count_survives_a_visit_to_another_day(harness: QuotaHarness, step: float) -> None:
    limits = Limits(requests_per_day=5, characters_per_day=100, audio_seconds_per_day=50)

    async def remaining() -> list[int]:
        return [one.remaining for one in (await harness.quota.remaining("acme", limits)).values()]

    for _ in range(2):
        await (await harness.quota.reserve("acme", limits, Request(10, 9))).settle(entry(audio_seconds=5))
    await harness.set_clock(step)
    assert await remaining() == [5, 100, 50]
    await (await harness.quota.reserve("acme", limits, Request(1, 1))).settle(entry(audio_seconds=1))
    await harness.set_clock(-step)
    assert await remaining() == [3, 80, 40]
    await harness.set_clock(step)
    assert await remaining() == [4, 99, 49], "and so does the other one"


async def test_a_request_that_ends_on_the_day_that_a_clock_visits_is_of_its_own_day(harness: QuotaHarness) -> None:
    limits = Limits(requests_per_day=5, audio_seconds_per_day=50)
    settled, returned, running = [
        await harness.quota.reserve("acme", limits, Request(audio_seconds=9)) for _ in range(3)
    ]
    await harness.set_clock(DAY_SECONDS)
    await harness.keep()
    await settled.settle(entry(audio_seconds=1))
    await returned.give_back()
    assert await left(harness, limits, "requestsPerDay") == 5
    await harness.set_clock(-DAY_SECONDS)
    await harness.keep()
    assert await left(harness, limits, "requestsPerDay") == 3
    assert await left(harness, limits, "audioSecondsPerDay") == 40
    await running.give_back()
    assert await left(harness, limits, "audioSecondsPerDay") == 49


async def test_a_server_that_died_before_the_clock_was_set_back_keeps_no_place(store: CounterStore) -> None:
    limits = Limits(concurrent_requests=1)
    async with HARNESSES["redis"](store) as harness:
        await harness.quota.reserve("acme", limits)
        await harness.set_clock(-600)
        assert await left(harness, limits, "concurrentRequests") == 0
        await harness.advance(LEASE_SECONDS)
        assert await left(harness, limits, "concurrentRequests") == 1


async def test_many_at_once_are_as_many_as_are_allowed(harness: QuotaHarness) -> None:
    limits = Limits(requests_per_minute=20, requests_per_day=25)

    async def ask() -> bool:
        try:
            await harness.quota.reserve("acme", limits, Request(characters=1))
        except QuotaExceeded:
            return False
        return True

    assert sum(await asyncio.gather(*(ask() for _ in range(60)))) == 20


async def test_a_client_that_asks_all_the_time_keeps_nobody_in_memory() -> None:
    harness = MemoryHarness()
    quota = MemoryQuota(harness.monotonic, harness.wall)
    limits = Limits(per_client_requests_per_minute=100)
    await quota.reserve("acme", limits, Request(client="ann"))
    for number in range(50):
        await quota.reserve("acme", limits, Request(client=f"passer-by {number}"))
    for _ in range(7):
        await harness.advance(seconds=10)
        await quota.reserve("acme", limits, Request(client="ann"))
    assert list(quota._tenants["acme"].clients) == ["ann"]


async def test_counts_of_another_day_are_not_gone_on_from() -> None:
    """Two clocks around midnight: what the other one counted is of a day that this one has left, or not reached."""
    harness = MemoryHarness()
    quota = MemoryQuota(harness.monotonic, harness.wall)
    await quota.reserve("acme", Limits(requests_per_day=9))
    today = quota.day_counts("acme").day
    for day in (today - 1, today + 1):
        quota.continue_from("acme", DayCounts(day, requests=5))
        assert quota.day_counts("acme").requests == 1
    quota.continue_from("acme", DayCounts(today, requests=5))
    assert quota.day_counts("acme").requests == 5


def test_replicas_never_give_out_more_than_the_limit_together() -> None:
    for limit in range(3, 30):
        assert 3 * (Limits(requests_per_minute=limit).shared_by(3).requests_per_minute or 0) <= limit
    assert Limits(requests_per_minute=2).shared_by(3) == Limits(requests_per_minute=1), "but each gives out one"


class Oracle:
    """Remembers everything, and looks at all of it each time."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.second = 0
        self.asked: list[tuple[int, Request, str]] = []
        """When, what, and what became of it: open, settled or returned."""
        self.audio: dict[int, float] = {}

    def counted(self) -> list[tuple[int, Request, str]]:
        return [one for one in self.asked if one[2] != "returned"]

    def used(self, client: str) -> dict[str, float]:
        counted = self.counted()
        recent = [request for second, request, _ in counted if second > self.second - 60]
        settled = sum(self.audio.values())
        return {
            "requestsPerMinute": len(recent),
            "perClientRequestsPerMinute": sum(request.client == client for request in recent),
            "concurrentRequests": sum(state == "open" for _, _, state in counted),
            "requestsPerDay": len(counted),
            "charactersPerDay": sum(request.characters for _, request, _ in counted),
            "audioSecondsPerDay": settled + sum(r.audio_seconds for _, r, state in counted if state == "open"),
        }

    def has_room(self, request: Request) -> bool:
        limits, used = self.limits, self.used(request.client)
        most = {limit.name: allowed for limit, allowed in limits.items}
        wanted = dict.fromkeys(used, 1.0) | {
            "charactersPerDay": request.characters, "audioSecondsPerDay": request.audio_seconds,
        }  # fmt: skip
        return all(used[name] + wanted[name] <= most[name] for name in used)


REQUESTS = st.builds(
    Request, st.integers(0, 30), st.integers(0, 40).map(lambda n: n / 4), st.sampled_from(["ann", "bob"])
)
STEPS = st.lists(
    st.one_of(
        REQUESTS,
        REQUESTS,
        st.integers(1, 30),
        st.tuples(st.just("settle"), st.integers(0, 9), st.integers(0, 60).map(lambda n: n / 4)),
        st.tuples(st.just("give back"), st.integers(0, 9), st.just(0.0)),
    ),
    max_size=40,
)
LIMITS = st.builds(
    Limits, requests_per_minute=st.integers(1, 6), per_client_requests_per_minute=st.integers(1, 4),
    concurrent_requests=st.integers(1, 4), requests_per_day=st.integers(1, 20),
    characters_per_day=st.integers(20, 200), audio_seconds_per_day=st.integers(5, 60),
)  # fmt: skip


@pytest.mark.parametrize("name", HARNESSES)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS, LIMITS)
async def test_whatever_happens_in_whatever_order_an_oracle_agrees(
    name: str, store: CounterStore, steps: list[Any], limits: Limits
) -> None:
    """No 60 seconds see more than the limit, no limit lets in more than it has or refuses less, no sum is off."""
    oracle = Oracle(limits)
    reservations: dict[int, Reservation] = {}
    async with HARNESSES[name](store) as harness:
        for step in steps:
            match step:
                case int(seconds):
                    # Shifting what is stored makes leases older, too: all of them are renewed in time.
                    await harness.advance(seconds)
                    await harness.keep()
                    oracle.second += seconds
                case Request() as request:
                    has_room = oracle.has_room(request)
                    try:
                        reservation = await harness.quota.reserve("acme", limits, request)
                    except QuotaExceeded:
                        assert not has_room, "refused with room left"
                        continue
                    assert has_room, "let in without room"
                    reservations[len(oracle.asked)] = reservation
                    oracle.asked.append((oracle.second, request, "open"))
                case end, pick, audio_seconds if reservations:
                    number = sorted(reservations)[pick % len(reservations)]
                    when, request, state = oracle.asked[number]
                    if end == "settle":
                        await reservations[number].settle(entry(audio_seconds, request.characters))
                        if state == "open":
                            oracle.asked[number] = (when, request, "settled")
                            oracle.audio[number] = audio_seconds
                    else:
                        await reservations[number].give_back()
                        if state == "open":
                            oracle.asked[number] = (when, request, "returned")
        left = await harness.quota.remaining("acme", limits, "ann")
        used = oracle.used("ann")
        assert {n: one.remaining for n, one in left.items()} == {
            n: max(0, math.floor(one.limit - used[n])) for n, one in left.items()
        }
        settled = [request for _, request, state in oracle.asked if state == "settled"]
        total = (await harness.quota.ledger("acme")).total
        assert (total.requests, total.characters) == (len(settled), sum(one.characters for one in settled))
        assert total.audio_seconds == sum(oracle.audio.values())
