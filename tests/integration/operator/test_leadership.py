"""Two operators as real processes: one writes, and the other takes over when the first one freezes or dies."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from hack.cluster.control_plane import ControlPlane
from tests.support.api_server import ApiServer, eventually
from tests.support.operator_process import Operator, role, role_binding, writes_of
from tests.support.resources import tenant_body
from tts_operator.cluster.leader_election import LeaderElectionConfig
from tts_operator.cluster.lease import ClusterLease
from tts_operator.controller.controller import ControllerOptions
from tts_operator.objects.keys import Key

LEASE_SECONDS = 6.0
LONG_LEASE_SECONDS = 60.0
"""For a lease that is let go: a busy successor cannot take as long as one that waits for its end."""
TIMING = LeaderElectionConfig.of_lease(LEASE_SECONDS)
IN_FLIGHT_SECONDS = 0.25
"""Delay until a write that was sent before the freeze is in the audit log."""
BUSY_SECONDS = 5.0
"""For a machine that does other things: a successor is late to look at the Lease."""
IDLE_SECONDS = 60.0
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def pair(
    request: pytest.FixtureRequest, control_plane: ControlPlane, api: ApiServer, tmp_path: Path
) -> Iterator[tuple[Operator, Operator]]:
    """Two operators of one Lease, with the permissions of the chart, for this test's namespace only."""
    control_plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all([role(), role_binding()]))
    flags = (
        f"--lease-seconds={getattr(request, 'param', LEASE_SECONDS)}",
        f"--watch-namespaces={api.namespace}",
        "--log-level=debug",
    )
    operators = tuple(
        Operator.start(control_plane, tmp_path, f"{api.namespace}-{name}", api.namespace, flags)
        for name in ("one", "two")
    )
    yield operators[0], operators[1]
    for operator in operators:
        operator.end()


async def elected(pair: tuple[Operator, Operator]) -> tuple[Operator, Operator]:
    """The one that leads, and the one that waits."""

    async def one_leads() -> bool:
        return all(operator.ready() for operator in pair) and any(operator.leads() for operator in pair)

    await eventually(one_leads, "both are ready, one leads", within_seconds=180)
    leader, other = sorted(pair, key=lambda operator: not operator.leads())
    assert not other.leads()
    return leader, other


@asynccontextmanager
async def changing(api: ApiServer, name: str) -> AsyncIterator[None]:
    """As many tenants as a leader has workers, edited all the time: every worker is about to write something."""
    keys = [api.key(f"tenant-{number}") for number in range(ControllerOptions().workers)]
    for key in keys:
        await api.user.create(tenant_body(name, key=key))

    async def edit(key: Key) -> None:
        for turn in itertools.count():
            quota = {"requestsPerMinute": 1 + turn % 9}
            await api.user.patch(api.ref("TTSTenant", key.name), {"spec": {"quota": quota}})
            await asyncio.sleep(0.3)

    editing = [asyncio.create_task(edit(key)) for key in keys]
    try:
        yield
    finally:
        for task in editing:
            task.cancel()
        await asyncio.wait(editing)


def wrote_since(plane: ControlPlane, operator: Operator, since: datetime) -> list[datetime]:
    return [write.at for write in writes_of(plane, operator.user) if write.at > since]


async def takes_over(api: ApiServer, plane: ControlPlane, successor: Operator, since: datetime) -> float:
    """Seconds from `since` until the successor acquired the Lease; it writes after that, and never before."""

    async def writes() -> bool:
        return bool(wrote_since(plane, successor, since))

    await eventually(writes, f"{successor.user} writes")
    lease = await ClusterLease(api.cluster, api.namespace, "tts-operator").read()
    assert lease is not None
    assert wrote_since(plane, successor, since)[0] > lease.acquired
    return (lease.acquired - since).total_seconds()


async def writes_something(plane: ControlPlane, leader: Operator) -> None:
    """Wait until a leader is in the middle of its writes."""
    begun = datetime.now(UTC)

    async def busy() -> bool:
        return len(wrote_since(plane, leader, begun)) > 5

    await eventually(busy, "the leader writes")


async def frozen_past_its_lease(
    api: ApiServer, plane: ControlPlane, leader: Operator, other: Operator
) -> list[datetime]:
    """Freeze a leader in the middle of its writes; times of its writes after another one has taken over."""
    begun = datetime.now(UTC)
    await writes_something(plane, leader)
    leader.freeze()
    frozen = datetime.now(UTC)
    seconds = await takes_over(api, plane, other, frozen)
    # Not before the frozen one's lease has run out: that may have been renewed just before.
    assert seconds > TIMING.lease_seconds - TIMING.retry_seconds - IN_FLIGHT_SECONDS
    assert seconds < TIMING.lease_seconds + 2 * TIMING.retry_seconds + BUSY_SECONDS
    leader.thaw()

    async def knows() -> bool:
        return leader.probe("healthz") == 200 and not leader.leads()

    await eventually(knows, "the one that was frozen leads no longer")
    woken = datetime.now(UTC)

    async def goes_on() -> bool:
        return len(wrote_since(plane, other, woken)) > 10

    await eventually(goes_on, "the new leader goes on")
    assert wrote_since(plane, other, begun)[0] > frozen
    return wrote_since(plane, leader, frozen + timedelta(seconds=IN_FLIGHT_SECONDS))


async def test_a_frozen_leader_writes_nothing_when_it_wakes(
    api: ApiServer, control_plane: ControlPlane, pair: tuple[Operator, Operator]
) -> None:
    """Given a leader in the middle of its writes, when it is frozen for longer than its lease, another one takes over;
    and when it runs again, what it was about to write stays unwritten.

    All but one write, at most: a process can also be stopped between its last look at the clock and the system call
    that sends, which nobody can make one. It is not stopped just there twice.
    """
    name = await api.publish_model()
    async with changing(api, name):
        late = await frozen_past_its_lease(api, control_plane, *await elected(pair))
        assert len(late) <= 1
        if late:
            assert await frozen_past_its_lease(api, control_plane, *await elected(pair)) == []


async def test_a_dead_leader_is_replaced_in_the_time_of_its_lease(
    api: ApiServer, control_plane: ControlPlane, pair: tuple[Operator, Operator]
) -> None:
    name = await api.publish_model()
    async with changing(api, name):
        leader, other = await elected(pair)
        leader.kill()
        died = datetime.now(UTC)
        seconds = await takes_over(api, control_plane, other, died)
    assert seconds > TIMING.lease_seconds - TIMING.retry_seconds - IN_FLIGHT_SECONDS
    assert seconds < TIMING.lease_seconds + 2 * TIMING.retry_seconds + BUSY_SECONDS


@pytest.mark.parametrize("pair", [LONG_LEASE_SECONDS], indirect=True, ids=["a long lease"])
async def test_a_leader_that_is_told_to_stop_lets_the_lease_go(
    api: ApiServer, control_plane: ControlPlane, pair: tuple[Operator, Operator]
) -> None:
    name = await api.publish_model()
    async with changing(api, name):
        leader, other = await elected(pair)
        await writes_something(control_plane, leader)
        asked = datetime.now(UTC)
        status = await asyncio.to_thread(leader.terminate)
        assert status == 0
        after_apply = datetime.now(UTC)
        seconds = await takes_over(api, control_plane, other, asked)
        assert wrote_since(control_plane, leader, after_apply) == []
        first = wrote_since(control_plane, other, asked)[0]
        # Sooner than any lease that was not let go; and never while the first one still wrote.
        assert seconds - (after_apply - asked).total_seconds() < LONG_LEASE_SECONDS
        assert first > wrote_since(control_plane, leader, datetime.min.replace(tzinfo=UTC))[-1]


async def test_nobody_writes_while_nothing_happens(
    api: ApiServer, control_plane: ControlPlane, pair: tuple[Operator, Operator]
) -> None:
    """A minute of a converged tenant, with watches, probes and the Lease going on: no write at all."""
    name = await api.publish_model()
    await api.user.create(tenant_body(name, schedule={"preset": "DayNightWeekend"}, key=api.key()))
    leader, other = await elected(pair)

    def count() -> int:
        return sum(len(writes_of(control_plane, operator.user)) for operator in (leader, other))

    async def programmed() -> bool:
        conditions = (await api.status("acme")).get("conditions") or []
        return {"Programmed": "True"}.items() <= {each["type"]: each["status"] for each in conditions}.items()

    await eventually(programmed, "its children are there")
    quiet_since = time.monotonic()
    seen = count()

    async def settled() -> bool:
        nonlocal quiet_since, seen
        if (now := count()) != seen:
            quiet_since, seen = time.monotonic(), now
        return time.monotonic() - quiet_since > 3

    await eventually(settled, "the last write of the create", within_seconds=90)
    reconciles = leader.metric("tts_operator_reconciles_total")
    await api.user.patch(api.ref("TTSTenant", "acme"), {"metadata": {"annotations": {"note": "look again"}}})
    await asyncio.sleep(IDLE_SECONDS)
    assert leader.metric("tts_operator_reconciles_total") > reconciles, "it did look"
    after = [str(write) for operator in (leader, other) for write in writes_of(control_plane, operator.user)]
    assert len(after) == seen, after[-12:]
