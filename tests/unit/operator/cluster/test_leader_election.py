"""At most one operator may write at any moment, and when it is gone another one may soon."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tests.support.virtual_time import VirtualClock
from tts_operator.cluster.leader_election import Leader, LeaderElectionConfig, LeaseConflict, Record

TIMING = LeaderElectionConfig(lease_seconds=15, renew_deadline_seconds=10, retry_seconds=2)


class SharedLease:
    """The Lease as the API server keeps it: a version guards it against lost updates."""

    def __init__(self) -> None:
        self.record: Record | None = None
        self.writes = 0

    async def read(self) -> Record | None:
        return self.record

    async def write(self, record: Record) -> Record:
        stored = self.record.version if self.record else ""
        if record.version != stored:
            raise LeaseConflict
        self.writes += 1
        self.record = replace(record, version=str(self.writes))
        return self.record


class Connection:
    """One candidate's way to the Lease: it can be cut, slowed, or lose answers."""

    def __init__(self, lease: SharedLease) -> None:
        self.lease = lease
        self.cut = False
        self.loses_answers = False
        self.delay_seconds = 0.0

    async def read(self) -> Record | None:
        await self._travel()
        return await self.lease.read()

    async def write(self, record: Record) -> Record:
        await self._travel()
        stored = await self.lease.write(record)
        if self.loses_answers:
            raise ConnectionError("the answer was lost")
        return stored

    async def _travel(self) -> None:
        await asyncio.sleep(self.delay_seconds)
        if self.cut:
            raise ConnectionError("no route")


class FreezableClock(VirtualClock):
    """Jumps ahead as time does for a process that was stopped for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen_seconds = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.frozen_seconds


class Candidate:
    """An operator that stands for election again and again; it counts its terms."""

    def __init__(self, lease: SharedLease, name: str) -> None:
        self.connection = Connection(lease)
        self.clock = FreezableClock()
        self.leader = Leader(self.connection, name, self.clock, TIMING, random.Random(name))
        self.terms = 0
        self.working = False

    async def run(self) -> None:
        while True:
            await self.leader.lead(self._work)

    async def _work(self) -> None:
        self.terms += 1
        self.working = True
        try:
            await asyncio.Event().wait()
        finally:
            self.working = False

    def may_write(self) -> bool:
        return self.leader.may_write()


@asynccontextmanager
async def standing(*candidates: Candidate) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(candidate.run()) for candidate in candidates]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@pytest.fixture
def lease() -> SharedLease:
    return SharedLease()


async def test_a_lone_candidate_leads_at_once(lease: SharedLease) -> None:
    first = Candidate(lease, "first")
    assert not first.may_write()
    async with standing(first):
        await asyncio.sleep(0.1)
        assert first.working
        assert first.may_write()
        assert lease.record is not None
        assert lease.record.holder == "first"


async def test_of_two_candidates_one_leads(lease: SharedLease) -> None:
    pair = Candidate(lease, "first"), Candidate(lease, "second")
    async with standing(*pair):
        for _ in range(300):
            await asyncio.sleep(1)
            assert [candidate.may_write() for candidate in pair] == [True, False]
    assert [candidate.terms for candidate in pair] == [1, 0]


async def test_who_stands_by_says_for_whom_and_once(lease: SharedLease) -> None:
    """Its log would be empty otherwise, and nobody could tell which of the two to read."""
    with capture_logs() as log:
        async with standing(Candidate(lease, "first"), Candidate(lease, "second")):
            await asyncio.sleep(100)
    said = [(line["event"], line["identity"], line.get("leader")) for line in log]
    assert said == [("started leading", "first", None), ("waiting for leader lease", "second", "first")]


async def test_a_leader_renews_before_its_deadline(lease: SharedLease) -> None:
    first = Candidate(lease, "first")
    async with standing(first):
        await asyncio.sleep(100)
        assert 45 <= lease.writes <= 52
        assert lease.record is not None
        assert lease.record.transitions == 0
        assert lease.record.renewed - lease.record.acquired >= timedelta(seconds=97)


async def test_a_leader_cut_off_stops_writing_at_its_deadline_and_working(lease: SharedLease) -> None:
    first = Candidate(lease, "first")
    async with standing(first):
        await asyncio.sleep(0.1)
        renewed_at = first.clock.monotonic() - 0.1
        first.connection.cut = True
        await asyncio.sleep(renewed_at + 9.9 - first.clock.monotonic())
        assert first.may_write()
        await asyncio.sleep(0.2)
        assert not first.may_write()
        assert not first.working


async def test_another_takes_over_once_the_lease_has_run_out_and_not_before(lease: SharedLease) -> None:
    first, second = Candidate(lease, "first"), Candidate(lease, "second")
    async with standing(first, second):
        await asyncio.sleep(1)
        first.connection.cut = True
        await asyncio.sleep(13)
        assert not second.may_write()
        await asyncio.sleep(1 + 2 * TIMING.retry_seconds * 1.2)
        assert second.may_write()
        assert lease.record is not None
        assert lease.record.transitions == 1


async def test_a_leader_that_was_frozen_may_not_write_the_moment_it_runs_again(lease: SharedLease) -> None:
    first = Candidate(lease, "first")
    async with standing(first):
        await asyncio.sleep(0.1)
        first.clock.frozen_seconds = 60
        assert not first.may_write(), "no timer of its own has fired yet"


async def test_a_leader_frozen_for_less_than_the_deadline_goes_on(lease: SharedLease) -> None:
    first = Candidate(lease, "first")
    async with standing(first):
        await asyncio.sleep(0.1)
        first.clock.frozen_seconds = 5
        assert first.may_write()
        await asyncio.sleep(60)
        assert first.terms == 1


async def test_a_leader_that_stops_hands_over_within_one_retry(lease: SharedLease) -> None:
    first, second = Candidate(lease, "first"), Candidate(lease, "second")
    async with standing(first):
        await asyncio.sleep(1)
        waiting = asyncio.create_task(second.run())
        await asyncio.sleep(20)
        assert first.may_write()
    await asyncio.sleep(TIMING.retry_seconds * 1.2)
    assert second.may_write()
    waiting.cancel()


async def test_no_write_may_start_once_the_lease_is_let_go(lease: SharedLease) -> None:
    first = Candidate(lease, "first")
    async with standing(first):
        await asyncio.sleep(1)
    assert not first.may_write()
    assert lease.record is not None
    assert lease.record.holder == ""


async def test_work_that_ends_lets_the_lease_go(lease: SharedLease) -> None:
    leader = Leader(Connection(lease), "first", VirtualClock(), TIMING)

    async def work() -> None:
        await asyncio.sleep(30)
        assert leader.may_write(), "the lease is renewed while work goes on"

    await leader.lead(work)
    assert lease.record is not None
    assert lease.record.holder == ""


async def test_work_that_fails_says_so_and_lets_the_lease_go(lease: SharedLease) -> None:
    leader = Leader(Connection(lease), "first", VirtualClock(), TIMING)

    async def work() -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await leader.lead(work)
    assert lease.record is not None
    assert lease.record.holder == ""


async def test_a_leader_that_finds_another_in_its_place_steps_down_at_once(lease: SharedLease) -> None:
    first = Candidate(lease, "first")
    async with standing(first):
        await asyncio.sleep(1)
        assert lease.record is not None
        await lease.write(replace(lease.record, holder="usurper"))
        await asyncio.sleep(2 * TIMING.retry_seconds)
        assert not first.may_write()
        assert not first.working


async def test_a_lease_touched_by_hand_costs_no_leadership(lease: SharedLease) -> None:
    first = Candidate(lease, "first")
    async with standing(first):
        await asyncio.sleep(1)
        assert lease.record is not None
        await lease.write(lease.record)
        await asyncio.sleep(60)
        assert first.may_write()
        assert first.terms == 1


async def test_a_renewal_whose_answer_was_lost_costs_no_leadership(lease: SharedLease) -> None:
    first = Candidate(lease, "first")
    async with standing(first):
        await asyncio.sleep(1)
        first.connection.loses_answers = True
        await asyncio.sleep(2)
        first.connection.loses_answers = False
        await asyncio.sleep(60)
        assert first.may_write()
        assert first.terms == 1


async def test_the_deadline_counts_from_before_the_renewal_was_sent(lease: SharedLease) -> None:
    first = Candidate(lease, "first")
    first.connection.delay_seconds = 4  # to read, then to write
    async with standing(first):
        await asyncio.sleep(8.1)
        assert first.may_write()
        first.connection.cut = True
        await asyncio.sleep(2)
        assert not first.may_write()


async def test_a_released_lease_is_not_waited_for(lease: SharedLease) -> None:
    async with standing(Candidate(lease, "first")):
        await asyncio.sleep(1)
    second = Candidate(lease, "second")
    async with standing(second):
        await asyncio.sleep(0.1)
        assert second.may_write()


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_fails_no_two_ever_may_write_at_once(lease: SharedLease, seed: int) -> None:
    chance = random.Random(seed)
    candidates = [Candidate(lease, name) for name in ("first", "second", "third")]
    async with standing(*candidates):
        for _ in range(600):
            await asyncio.sleep(chance.uniform(0.05, 1))
            assert sum(candidate.may_write() for candidate in candidates) <= 1
            troubled = chance.choice(candidates).connection
            troubled.cut = chance.random() < 0.4
            troubled.loses_answers = chance.random() < 0.3
            troubled.delay_seconds = chance.choice([0, 0, 0.2, 3])
    assert sum(candidate.terms for candidate in candidates) > 1, "leadership was lost and won again"


def test_times_that_would_let_two_lead_are_refused() -> None:
    with pytest.raises(ValueError, match="renew_deadline_seconds < lease_seconds"):
        LeaderElectionConfig(lease_seconds=10, renew_deadline_seconds=10, retry_seconds=2)


def test_the_usual_proportions_are_those_of_client_go() -> None:
    assert LeaderElectionConfig.of_lease(15) == LeaderElectionConfig(15, 10, 2)
