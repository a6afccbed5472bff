"""The shared counters are lost in every way that a server can be lost: nobody waits, and nothing is forgotten."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

import tts_server.redis.client
from tests.support.cancellation import leaves_at_any_moment
from tests.support.patient_redis import HUNG_SECONDS, PatientRedisCalls
from tests.support.redis_server import CounterStore, counter_store
from tests.support.timeouts import HANG_SECONDS, PATIENCE_SECONDS
from tts_server.errors import QuotaExceeded
from tts_server.quota.ledger import Charge, Entry, LedgerTotals, day_of
from tts_server.quota.limit_table import Limits
from tts_server.quota.limits import LimitStatus, Request
from tts_server.quota.memory_quota import MemoryQuota
from tts_server.quota.protocol import RENEW_SECONDS
from tts_server.quota.redis_quota import RedisQuota
from tts_server.quota.resilient_quota import ResilientQuota, ResilientReservation

LIMITS = Limits(
    requests_per_minute=60, concurrent_requests=30, requests_per_day=100, characters_per_day=1000, replicas=3
)
DAY_SECONDS = 86_400
LIVES_SECONDS = {"minute": 61, "client": 61, "ledger": 35 * DAY_SECONDS}
"""Keys that do not expire after two days."""
PROMPT_SECONDS = HUNG_SECONDS
"""Less than anybody who waited for the store would take."""


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tts_server.redis.client, "COMMAND_SECONDS", PATIENCE_SECONDS)


@dataclass
class Clock:
    """The real one, which may be set ahead."""

    ahead_seconds: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_seconds


@dataclass
class Replica:
    """One server's quota, and what its guard said about the store."""

    quota: ResilientQuota
    changes: list[bool]
    clock: "Clock"

    async def reserve(self, limits: Limits = LIMITS, characters: int = 1, **rest: str) -> ResilientReservation:
        return await self.quota.reserve("acme", limits, Request(characters, 1.0, **rest))

    async def serve(self, limits: Limits = LIMITS, characters: int = 1, audio_seconds: float = 0.5) -> LimitStatus:
        reservation = await self.reserve(limits, characters)
        await reservation.settle(Entry("tone", "fp32", characters, audio_seconds))
        return reservation.limit_status

    async def admitted(self, limits: Limits = LIMITS) -> int:
        """How many more are served until one is refused."""
        for number in range(1000):
            try:
                await self.serve(limits)
            except QuotaExceeded:
                return number
        raise AssertionError("no end")

    async def left(self, limit: str) -> int:
        return (await self.quota.remaining("acme", LIMITS))[limit].remaining

    async def total(self) -> LedgerTotals:
        ledger = await self.quota.ledger("acme")
        assert ledger.is_complete
        return ledger.total

    async def tends(self) -> None:
        """Ten seconds later."""
        self.clock.ahead_seconds += RENEW_SECONDS
        await self.quota.sync()

    async def returns(self) -> None:
        """Looked after, until its store is found again and knows everything."""
        async with asyncio.timeout(HANG_SECONDS):
            while not self.changes[-1]:
                await self.quota.sync()
                await asyncio.sleep(0.01)
        await self.quota.sync()


@asynccontextmanager
async def replica(store: CounterStore) -> AsyncIterator[Replica]:
    changes: list[bool] = []
    async with store.client() as client:
        clock = Clock()
        shared = RedisQuota(client, monotonic=clock)
        shared._calls = PatientRedisCalls(client, store)
        guarded = ResilientQuota(shared, MemoryQuota(clock), clock)
        guarded.notify(changes.append)
        yield Replica(guarded, changes, clock)


@pytest.fixture(scope="module")
def running() -> Iterator[CounterStore]:
    with counter_store(appendonly="yes", appendfsync="always") as store:
        yield store


@pytest.fixture
def store(running: CounterStore) -> CounterStore:
    running.run("FLUSHALL")
    return running


def freeze(store: CounterStore) -> Callable[[], None]:
    store.freeze()
    return store.thaw


def kill(store: CounterStore) -> Callable[[], None]:
    store.kill()
    return store.start


def fill(store: CounterStore) -> Callable[[], None]:
    store.run("CONFIG", "SET", "maxmemory", 1, "maxmemory-policy", "noeviction")
    return lambda: store.run("CONFIG", "SET", "maxmemory", 0)


def fail_over(store: CounterStore) -> Callable[[], None]:
    """It has become the replica of a server that is gone, and takes no writes."""
    store.run("REPLICAOF", "127.0.0.1", 1)
    return lambda: store.run("REPLICAOF", "NO", "ONE")


def deny(store: CounterStore) -> Callable[[], None]:
    """Its password has changed."""
    store.run("ACL", "SETUSER", "default", "nocommands", "+acl")
    return lambda: store.run("ACL", "SETUSER", "default", "allcommands")


LOSSES: dict[str, Callable[[CounterStore], Callable[[], None]]] = {
    "hangs": freeze, "is killed": kill, "is full": fill, "fails over": fail_over, "denies": deny,
}  # fmt: skip


@pytest.fixture(params=LOSSES)
def lose(request: pytest.FixtureRequest, store: CounterStore) -> Iterator[Callable[[], Callable[[], None]]]:
    """Call it to lose the store, and what it returns to get it back."""
    restore: list[Callable[[], None]] = []

    def go() -> Callable[[], None]:
        back = LOSSES[request.param](store)
        restore.append(back)

        def once() -> None:
            restore.clear()
            back()

        return once

    yield go
    for back in restore:
        back()


Lose = Callable[[], Callable[[], None]]


async def test_a_lost_store_costs_one_request_a_moment_and_others_nothing(store: CounterStore, lose: Lose) -> None:
    async with replica(store) as acme:
        await acme.serve()
        lose()
        begun = time.monotonic()
        await acme.serve()
        assert time.monotonic() - begun < HUNG_SECONDS + PROMPT_SECONDS
        for _ in range(5):
            begun = time.monotonic()
            await acme.serve()
            await acme.left("requestsPerDay")
            await acme.quota.ledger("acme")
            assert time.monotonic() - begun < PROMPT_SECONDS
        assert acme.changes == [True, False]


async def test_what_is_served_meanwhile_is_counted_once_it_is_back(store: CounterStore, lose: Lose) -> None:
    async with replica(store) as acme, replica(store) as other:
        await acme.serve(characters=10)
        under_way = await acme.reserve(characters=100)
        failing = await acme.reserve(characters=100)
        back = lose()
        for _ in range(4):
            await acme.serve(characters=10)
        across = await acme.reserve(characters=1)
        await under_way.settle(Entry("tone", "fp32", 100, 2.0))
        await failing.give_back()
        assert not (await acme.quota.ledger("acme")).is_complete
        back()
        await acme.returns()
        await across.settle(Entry("tone", "fp32", 1, 0.25))
        await acme.quota.sync()
        assert acme.changes == [True, False, True]
        assert await acme.total() == LedgerTotals(7, 151, 4_750_000)
        assert await other.total() == LedgerTotals(7, 151, 4_750_000)
        assert await other.left("requestsPerDay") == 93
        assert await other.left("charactersPerDay") == 849
        assert await other.left("concurrentRequests") == 30


async def test_the_minute_counts_what_was_let_in_meanwhile(store: CounterStore, lose: Lose) -> None:
    """No 60 seconds see more than the limit, also around the return."""
    limits = Limits(requests_per_minute=30, per_client_requests_per_minute=20, replicas=2)
    async with replica(store) as acme, replica(store) as other:
        for _ in range(3):
            await acme.reserve(limits, client="ann")
        back = lose()
        for _ in range(7):
            await acme.reserve(limits, client="ann")
        with pytest.raises(QuotaExceeded):
            await acme.reserve(limits, client="ann")
        failed = await acme.reserve(limits, client="bob")
        across = await acme.reserve(limits, client="bob")
        await failed.give_back()
        back()
        await acme.returns()

        async def left(client: str) -> tuple[int, int]:
            limit_status = await other.quota.remaining("acme", limits, client)
            return limit_status["requestsPerMinute"].remaining, limit_status["perClientRequestsPerMinute"].remaining

        assert await left("ann") == (19, 10)
        assert await left("bob") == (19, 19)
        await across.give_back()
        assert await left("bob") == (20, 20)
        assert await acme.admitted(limits) == 20


async def test_what_was_refunded_stays_refunded_when_the_minute_is_written_again(store: CounterStore) -> None:
    async with replica(store) as acme:
        kept, returned = await acme.reserve(), await acme.reserve()
        await returned.give_back()
        store.run("FLUSHALL")
        await acme.left("requestsPerDay")
        await acme.quota.sync()
        assert await acme.left("requestsPerMinute") == 59
        await kept.give_back()


async def test_what_is_refunded_while_the_store_is_away_for_long_is_forgotten(store: CounterStore, lose: Lose) -> None:
    async with replica(store) as acme:
        back = lose()
        for _ in range(300):
            acme.clock.ahead_seconds += 1
            await (await acme.reserve()).give_back()
        assert len(acme.quota._refunded) <= 60
        assert not acme.quota._undelivered
        back()
        await acme.returns()
        assert not acme.quota._refunded
        assert await acme.left("requestsPerMinute") == 60


async def test_who_was_let_in_without_the_store_ends_once(store: CounterStore, lose: Lose) -> None:
    async with replica(store) as acme:
        await acme.serve()
        back = lose()
        served, failed = await acme.reserve(characters=10), await acme.reserve(characters=10)
        for _ in range(2):
            await served.settle(Entry("tone", "fp32", 10, 1.0))
            await served.give_back()
            await failed.give_back()
            await failed.settle(Entry("tone", "fp32", 10, 1.0))
        back()
        await acme.returns()
        assert await acme.total() == LedgerTotals(2, 11, 1_500_000)
        assert await acme.left("requestsPerMinute") == 58


async def test_counters_that_vanish_over_midnight_begin_anew(store: CounterStore) -> None:
    async with replica(store) as acme:
        await acme.serve(characters=500)
        known = acme.quota._shared._view("acme")  # type: ignore[attr-defined]  # the one with a store
        known.day_counts = replace(known.day_counts, day=known.day_counts.day - 1)  # it was yesterday
        store.run("FLUSHALL")
        assert (await acme.left("requestsPerDay"), await acme.left("charactersPerDay")) == (100, 1000)


async def test_what_was_let_in_a_minute_ago_counts_no_more_when_the_store_is_back(store: CounterStore) -> None:
    clock = Clock()
    async with store.client() as client:
        quota = RedisQuota(client, PATIENCE_SECONDS, clock)
        for ahead in (0, 45, 59, 61):
            clock.ahead_seconds = ahead
            quota.record_admitted("acme", LIMITS, Request())
        await quota.restore()
        assert (await quota.remaining("acme", LIMITS))["requestsPerMinute"].remaining == 57
        shift(store, "minute", 43)
        assert (await quota.remaining("acme", LIMITS))["requestsPerMinute"].remaining == 57
        shift(store, "minute", 2)
        assert (await quota.remaining("acme", LIMITS))["requestsPerMinute"].remaining == 58


async def test_a_store_that_forgot_the_last_minute_is_told_once(store: CounterStore) -> None:
    """Flushed, or started empty, so quickly that nobody found it lost."""
    async with replica(store) as acme, replica(store) as other:
        for one in (acme, other):
            for _ in range(600):
                await one.serve(Limits(requests_per_minute=10_000))
        store.run("FLUSHALL")
        for _ in range(2):
            for one in (acme, other):
                await one.left("requestsPerDay")
                await one.quota.sync()
        assert store.run("ZCARD", "tts:{acme}:quota:minute") == 1200
        assert acme.changes == [True]


async def test_a_request_whose_end_finds_the_store_lost_ends_when_it_is_back(store: CounterStore, lose: Lose) -> None:
    async with replica(store) as acme:
        settled = await acme.reserve(characters=10)
        back = lose()
        await settled.settle(Entry("tone", "fp32", 10, 2.0))
        assert acme.changes == [True, False]
        back()
        await acme.returns()
        failed = await acme.reserve(characters=10)
        back = lose()
        await failed.give_back()
        back()
        await acme.returns()
        assert await acme.total() == LedgerTotals(1, 10, 2_000_000)
        assert await acme.left("charactersPerDay") == 990
        assert await acme.left("concurrentRequests") == 30


async def test_meanwhile_a_replica_gives_out_its_part_of_what_is_left(store: CounterStore, lose: Lose) -> None:
    async with replica(store) as acme, replica(store) as other:
        for _ in range(39):
            await other.serve()
        await acme.serve()
        lose()
        # 60 were left of the day, and 20 of a minute are its part, of which it has used one.
        assert await acme.admitted() == 19
        assert await acme.left("requestsPerDay") == 1


async def test_the_day_goes_on_from_the_last_value_seen(store: CounterStore, lose: Lose) -> None:
    limits = Limits(requests_per_day=100, replicas=3)
    async with replica(store) as acme, replica(store) as other:
        for _ in range(69):
            await other.serve(limits)
        await acme.serve(limits)
        back = lose()
        assert await acme.admitted(limits) == 10, "a third of what was left"
        back()
        await acme.returns()
        assert await acme.admitted(limits) == 20, "what was served meanwhile is gone from the rest"


async def test_the_day_goes_on_from_what_was_sent_and_not_from_what_had_been_reserved(store: CounterStore) -> None:
    limits = Limits(audio_seconds_per_day=100, characters_per_day=1000)
    async with replica(store) as acme:
        for _ in range(20):
            await acme.serve(limits, characters=5)  # a second each is reserved, and half of one is sent
        await (await acme.reserve(limits, characters=100)).give_back()
        store.run("FLUSHALL")
        left = await acme.quota.remaining("acme", limits)
        assert (left["audioSecondsPerDay"].remaining, left["charactersPerDay"].remaining) == (90, 900)


async def test_a_store_that_was_never_there_is_a_store_that_is_lost(store: CounterStore) -> None:
    back = kill(store)
    async with replica(store) as acme:
        assert await acme.admitted(Limits(requests_per_day=30, replicas=3)) == 10
        back()
        await acme.returns()
        assert (await acme.total()).requests == 10


@pytest.mark.parametrize("loss", ["flushed", "started without its disk"])
async def test_counters_that_vanish_are_written_again(loss: str) -> None:
    with counter_store() as store:
        async with replica(store) as acme, replica(store) as other:
            for _ in range(30):
                await acme.serve(characters=2)
            for _ in range(20):
                await other.serve(characters=3)
            under_way = await other.reserve(characters=5)
            failing = await other.reserve(characters=50)
            await acme.serve(characters=2)
            if loss == "flushed":
                store.run("FLUSHALL")
            else:
                store.kill()
                store.start()
            for one in (acme, other):
                await one.left("requestsPerDay")
                await one.returns()
            await under_way.settle(Entry("tone", "fp32", 5, 1.5))
            await failing.give_back()
            for one in (acme, other):
                await one.tends()
            assert await acme.left("requestsPerDay") == 48
            assert await acme.left("charactersPerDay") == 873
            assert await acme.total() == LedgerTotals(52, 127, 27_000_000)


async def test_flushes_in_the_middle_lose_no_line_of_the_ledger(store: CounterStore) -> None:
    async with replica(store) as acme, replica(store) as other:

        async def work(one: Replica) -> None:
            for _ in range(100):
                await one.serve(Limits(requests_per_day=10_000), characters=1)

        working = asyncio.gather(work(acme), work(acme), work(other))
        async with store.client() as client:
            while not working.done():
                await client.flushall()
                await asyncio.sleep(0.02)
        await working
        for one in (acme, other):
            await one.returns()
            await one.left("requestsPerDay")
            await one.tends()
        assert await acme.total() == LedgerTotals(300, 300, 150_000_000)


async def test_a_replica_that_takes_over_may_lack_the_last_second(store: CounterStore) -> None:
    """Redis answers before its replicas have a write; the epoch is the same, the reservation is not there."""
    async with replica(store) as acme:
        await acme.serve(characters=10, audio_seconds=1)
        before = store.run("HGETALL", "tts:{acme}:quota:day")
        reservation = await acme.reserve(characters=20)
        for name in ("open", "leases"):
            store.run("DEL", f"tts:{{acme}}:quota:{name}")
        store.run("HSET", "tts:{acme}:quota:day", *(word for pair in before.items() for word in pair))
        await reservation.settle(Entry("tone", "fp32", 20, 2.0))
        assert await acme.total() == LedgerTotals(2, 30, 3_000_000)
        assert await acme.left("requestsPerDay") == 98
        assert await acme.left("charactersPerDay") == 970


async def test_a_caller_that_leaves_while_it_is_counted_takes_nothing(store: CounterStore) -> None:
    async with replica(store) as acme:
        await (await acme.reserve()).give_back()  # there is a connection, and the server knows the script
        store.freeze()
        asking = asyncio.create_task(acme.reserve(characters=10))
        await asyncio.sleep(0.05)  # it is on its way to the store, where nobody reads it yet
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        store.thaw()
        async with asyncio.timeout(HANG_SECONDS):
            while await acme.left("concurrentRequests") != 30 or await acme.left("requestsPerMinute") != 60:
                await acme.quota.sync()
        assert await acme.left("charactersPerDay") == 1000
        assert acme.changes == [True]


async def test_a_caller_that_leaves_at_any_moment_has_left(store: CounterStore) -> None:
    """The library may lose a cancellation; the work of a caller that is gone would go on."""
    async with replica(store) as acme:
        await acme.serve()
        limits = Limits(requests_per_day=1000)
        assert await leaves_at_any_moment(lambda: acme.reserve(limits)) > 5


async def test_a_cluster_finds_all_of_a_tenant_on_one_node() -> None:
    with counter_store(**{"cluster-enabled": "yes"}) as store:
        store.run("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        while "cluster_state:ok" not in str(store.run("CLUSTER", "INFO")):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
        async with replica(store) as acme:
            limits = replace(LIMITS, per_client_requests_per_minute=10, audio_seconds_per_day=100, replicas=1)
            await (await acme.reserve(limits, client="ann")).give_back()
            await acme.serve(limits)
            await acme.quota._shared.charge("acme", charge())
            await acme.reserve(limits)
            await acme.tends()
            assert (await acme.total()).requests == 1
            assert acme.changes == [True]


async def test_a_server_that_loads_its_data_is_lost_until_it_is_done(store: CounterStore) -> None:
    for number in range(200):
        store.run("SET", f"ballast:{number}", "x" * 100)
    store.run("CONFIG", "SET", "key-load-delay", 5_000, "loading-process-events-interval-bytes", 1024)
    async with replica(store) as acme:
        await acme.serve()
        reloading = asyncio.create_task(asyncio.to_thread(store.run, "DEBUG", "RELOAD"))
        async with asyncio.timeout(HANG_SECONDS):
            while acme.changes[-1]:
                await acme.serve()
        await acme.serve()
        await reloading
        await acme.returns()
        assert (await acme.total()).requests >= 2
    store.run("CONFIG", "SET", "key-load-delay", 0)


async def test_while_it_is_lost_one_probe_at_a_time_asks_for_it(store: CounterStore) -> None:
    async with replica(store) as acme:
        await acme.serve()
        freeze(store)
        try:
            await acme.serve()
            await asyncio.sleep(0.1)  # the breaker's own time, by the real clock
            probe = asyncio.create_task(acme.quota.sync())
            await asyncio.sleep(0)
            begun = time.monotonic()
            await asyncio.gather(*(acme.quota.sync() for _ in range(5)), acme.serve())
            assert time.monotonic() - begun < PROMPT_SECONDS
            await probe
            assert acme.changes == [True, False]
        finally:
            store.thaw()
        await acme.returns()


async def test_a_caller_that_is_cancelled_while_it_settles_has_settled(store: CounterStore) -> None:
    async with replica(store) as acme:
        reservation = await acme.reserve()
        store.freeze()
        settling = asyncio.create_task(reservation.settle(Entry("tone", "fp32", 1, 3.0)))
        await asyncio.sleep(0)  # it has begun, and sent nothing yet
        settling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await settling
        store.thaw()
        await acme.quota.close()
        await acme.returns()
        assert await acme.total() == LedgerTotals(1, 1, 3_000_000)


async def test_a_dead_server_leaks_nothing(store: CounterStore) -> None:
    async with replica(store) as acme, replica(store) as dying:
        for _ in range(30):
            await dying.reserve(characters=10)
        with pytest.raises(QuotaExceeded):
            await acme.reserve()
        shift(store, "leases", 10)
        with pytest.raises(QuotaExceeded):
            await acme.reserve()
        shift(store, "leases", 20)
        await acme.serve()
        assert await acme.left("concurrentRequests") == 30
        assert await acme.left("requestsPerDay") == 99
        assert await acme.left("charactersPerDay") == 999


async def test_a_server_that_lives_keeps_its_leases(store: CounterStore) -> None:
    async with replica(store) as acme, replica(store) as other:
        running = [await acme.reserve(characters=10) for _ in range(30)]
        for _ in range(3):
            shift(store, "leases", 25)
            await acme.tends()
        with pytest.raises(QuotaExceeded):
            await other.reserve()
        shift(store, "leases", 100)
        assert await other.left("concurrentRequests") == 30, "it was silent for too long"
        await acme.tends()
        assert await other.left("concurrentRequests") == 0, "but it is alive after all"
        assert await other.left("charactersPerDay") == 700
        shift(store, "leases", 100)
        await other.left("requestsPerDay")
        for one in running[:20]:
            await one.settle(Entry("tone", "fp32", 10, 1.0))
        for one in running[20:]:
            await one.give_back()
        assert await other.left("charactersPerDay") == 800, "given up, and ended all the same"
        assert await other.total() == LedgerTotals(20, 200, 20_000_000)


async def test_a_request_that_is_sent_twice_is_counted_once(
    store: CounterStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with store.client() as client:
        quota = RedisQuota(client, PATIENCE_SECONDS)
        await quota.remaining("acme", LIMITS)
        monkeypatch.setattr(secrets, "token_hex", lambda _: "1" * 32)
        first = await quota.reserve("acme", LIMITS, Request(10))
        again = await quota.reserve("acme", LIMITS, Request(10))
        assert first.limit_status["requestsPerDay"].remaining == again.limit_status["requestsPerDay"].remaining == 99
        assert (await quota.remaining("acme", LIMITS))["charactersPerDay"].remaining == 990


async def test_everything_in_the_store_expires_and_shares_a_hash_tag(store: CounterStore) -> None:
    async with replica(store) as acme:
        await acme.serve()
        await acme.reserve(
            Limits(requests_per_minute=1000, per_client_requests_per_minute=1000), client="ann@acme.test"
        )
        for _ in range(2):
            await acme.quota._shared.charge("acme", charge())
        assert (await acme.quota.ledger("acme", day_of(1))).total == LedgerTotals(1, 1, 1)
        keys = store.run("KEYS", "*")
        assert {key.split(":")[3] for key in keys} == {
            "epoch", "day", "open", "leases", "minute", "client", "ledger", "done",
        }  # fmt: skip
        for key in keys:
            assert key.startswith("tts:{acme}:quota:")
            seconds = LIVES_SECONDS.get(key.split(":")[3], 2 * DAY_SECONDS)
            assert seconds - 60 < store.run("TTL", key) <= seconds
            assert "ann" not in key
        for name in ("minute", "client:*"):
            (log,) = store.run("KEYS", f"tts:{{acme}}:quota:{name}")
            assert store.run("PTTL", log) > 60_000 - 1_000 * PROMPT_SECONDS, "not before the last of it is a minute old"


def charge() -> Charge:
    return Charge("a charge", 1, ("tone", "fp32"), LedgerTotals(1, 1, 1))


def shift(store: CounterStore, name: str, seconds: int) -> None:
    """So much time passes for a sorted set."""
    key = f"tts:{{acme}}:quota:{name}"
    for member in store.run("ZRANGE", key, 0, -1):
        store.run("ZINCRBY", key, -seconds * 1_000_000, member)
