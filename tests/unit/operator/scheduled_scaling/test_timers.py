"""A transition begins at its instant, not before, whatever happens to the clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from tests.support.virtual_time import BEGINNING, VirtualClock
from tts_operator.scheduled_scaling.timers import MAX_SLEEP_SECONDS, TransitionTimers


@asynccontextmanager
async def running(
    transitions: TransitionTimers[str], clock: VirtualClock
) -> AsyncIterator[list[tuple[str, float, float]]]:
    """Transitions that began: (key, seconds from the beginning, seconds late)."""
    begun: list[tuple[str, float, float]] = []

    def begin(key: str, lateness: timedelta) -> None:
        at_seconds = (clock.now() - BEGINNING).total_seconds()
        begun.append((key, round(at_seconds, 3), round(lateness.total_seconds(), 3)))

    task = asyncio.create_task(transitions.run(clock, begin))
    yield begun
    task.cancel()


def after(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


async def test_it_begins_at_its_instant_and_not_before(clock: VirtualClock) -> None:
    transitions = TransitionTimers[str]()
    transitions.set("acme", BEGINNING + after(3600))
    async with running(transitions, clock) as begun:
        await asyncio.sleep(3599.999)
        assert begun == []
        await asyncio.sleep(1)
    assert begun == [("acme", 3600, 0)]


async def test_one_that_was_missed_begins_at_once_and_says_how_late_it_is(clock: VirtualClock) -> None:
    transitions = TransitionTimers[str]()
    transitions.set("acme", BEGINNING - after(90))
    async with running(transitions, clock) as begun:
        await asyncio.sleep(0.001)
    assert begun == [("acme", 0, 90)]


async def test_a_new_instant_replaces_the_old_one(clock: VirtualClock) -> None:
    transitions = TransitionTimers[str]()
    transitions.set("acme", BEGINNING + after(10))
    transitions.set("acme", BEGINNING + after(20))
    async with running(transitions, clock) as begun:
        await asyncio.sleep(60)
    assert [at for _, at, _ in begun] == [20]


async def test_an_earlier_instant_set_during_the_nap_is_not_slept_through(clock: VirtualClock) -> None:
    transitions = TransitionTimers[str]()
    transitions.set("acme", BEGINNING + after(4))
    async with running(transitions, clock) as begun:
        await asyncio.sleep(1)
        transitions.set("beta", BEGINNING + after(2))
        await asyncio.sleep(9)
    assert begun == [("beta", 2, 0), ("acme", 4, 0)]


async def test_a_forgotten_tenant_never_begins(clock: VirtualClock) -> None:
    transitions = TransitionTimers[str]()
    transitions.set("acme", BEGINNING + after(10))
    transitions.set("acme", None)
    transitions.set("unheard-of", None)
    async with running(transitions, clock) as begun:
        await asyncio.sleep(60)
    assert begun == []
    assert len(transitions) == 0


async def test_setting_the_wall_clock_forward_is_noticed_within_a_nap(clock: VirtualClock) -> None:
    transitions = TransitionTimers[str]()
    transitions.set("acme", BEGINNING + after(3600))
    async with running(transitions, clock) as begun:
        await asyncio.sleep(10)
        clock.wall_offset = after(3600)
        await asyncio.sleep(MAX_SLEEP_SECONDS)
    assert len(begun) == 1


async def test_a_thousand_tenants_at_one_instant_all_begin(clock: VirtualClock) -> None:
    transitions = TransitionTimers[str]()
    for number in range(1000):
        transitions.set(f"tenant-{number}", BEGINNING + after(30))
    async with running(transitions, clock) as begun:
        await asyncio.sleep(31)
    assert len(begun) == 1000
    assert transitions.next() is None


async def test_an_instant_is_announced_once_and_shortly_before_it(clock: VirtualClock) -> None:
    """All that it needs is ready by then: connections, for one, take longer to open than a write takes."""
    timers, announced, begun = TransitionTimers[str](), [], []

    def approaching() -> None:
        announced.append(clock.monotonic())

    running = asyncio.create_task(timers.run(clock, lambda key, _: begun.append((clock.monotonic(), key)), approaching))
    for key in ("acme", "beta"):
        timers.set(key, BEGINNING + timedelta(seconds=60))
    timers.set("gamma", BEGINNING + timedelta(seconds=61))
    timers.set("soon", BEGINNING + timedelta(seconds=1))
    await asyncio.sleep(100)
    running.cancel()
    assert announced == pytest.approx([0, 58, 60])
    assert begun == [(1, "soon"), (60, "acme"), (60, "beta"), (61, "gamma")]
