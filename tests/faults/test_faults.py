"""Whatever befalls the operator while people edit: afterwards every tenant is what a fresh create becomes."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from hack import faketime
from hack.cluster.control_plane import ControlPlane
from tests.faults.disturbances import ALL, FAULTS, ONLY
from tests.faults.fleet import Comparison, Fleet, fleet
from tests.faults.stage import Stage
from tests.faults.verdicts import FOLDER, MEBIBYTE, MORE_MEMORY_BYTES, Outcome, recovered_seconds
from tests.support.api_faults import FaultPlan
from tests.support.api_server import NUMBERS, eventually
from tests.support.fault_proxy import fault_proxy
from tests.support.operator_process import GROUP, writes_of
from tests.support.pods_that_run import pods_that_run

SEEDS = int(os.environ.get("FAULT_SEEDS") or 20)
"""Runs in all: the faults take turns."""
ONLY_SEED = os.environ.get("FAULT_SEED") or ""
CALM_SECONDS = 240.0
QUIET_SECONDS = float(os.environ.get("FAULT_QUIET_SECONDS") or 12)
"""Time without a write. Longer than each interval at which the operator looks at something by itself: that of rollouts,
10 s, is the longest. Retries need no more time, for no reconcile may fail in it."""
LONG_QUIET_SECONDS = 60.0
"""A longer one, after all faults together: it looks at what is rarer, too."""
QUIET_WITHIN_SECONDS = 90.0
LOOK_SECONDS = 0.5
pytestmark = pytest.mark.timeout(1200)


def runs() -> list[tuple[str, int]]:
    """Faults with their seeds, as the variables ask for them."""
    names = [ONLY] if ONLY else list(FAULTS)
    if ONLY_SEED:
        return [(name, int(ONLY_SEED)) for name in names]
    return [
        (names[number % len(names)], number + 1)
        for number in range(max(1, SEEDS if not ONLY else SEEDS // len(FAULTS)))
    ]


@pytest.mark.parametrize(("fault", "seed"), runs(), ids=str)
async def test_after_a_fault_every_tenant_is_what_a_fresh_create_becomes(
    plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, seed: int
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
    outcome = Outcome(fault, seed, failure="it did not end")
    try:
        async with staged(plane, tmp_path, fault, seed) as (stage, tenants):
            try:
                await run(stage, tenants, outcome)
            finally:
                stage.keep_logs(FOLDER / f"{fault}-{seed}.log")
        outcome.failure = ""
    except (AssertionError, ExceptionGroup) as error:
        outcome.failure = str(error) or type(error).__name__
        again = f"again: make faults FAULT={fault} FAULT_SEED={seed}"
        raise AssertionError(f"{error}\n\n{again}\nlog of the operator: {FOLDER}/{fault}-{seed}.log") from error
    finally:
        outcome.write()


async def run(stage: Stage, tenants: Fleet, outcome: Outcome) -> None:
    """One run from the first tenants to the collection of the last child. Records in `outcome` what it measures."""
    outcome.calm_seconds = await calm(stage, tenants)
    before_bytes = stage.memory_bytes()
    await disturb(stage, tenants, outcome.fault)
    outcome.met = stage.plan.met.total()
    outcome.seconds, comparison = await recover(stage, tenants, recovered_seconds(outcome.calm_seconds))
    outcome.quiet_seconds = max(QUIET_SECONDS, LONG_QUIET_SECONDS if outcome.fault == ALL else 0.0)
    await be_quiet(stage, tenants, outcome.quiet_seconds)
    outcome.more_memory_bytes = stage.memory_bytes() - before_bytes
    assert outcome.more_memory_bytes < MORE_MEMORY_BYTES, (
        f"{outcome.more_memory_bytes / MEBIBYTE:.0f} MiB more than {before_bytes / MEBIBYTE:.0f} MiB"
    )
    await tenants.remove_all()
    await until_none(comparison.left, CALM_SECONDS, "every child is collected")


@asynccontextmanager
async def staged(plane: ControlPlane, folder: Path, fault: str, seed: int) -> AsyncIterator[tuple[Stage, Fleet]]:
    """An operator behind a proxy, and nobody's tenants yet."""
    plan = FaultPlan(FAULTS[fault].api_faults, seed) if FAULTS[fault].api_faults else FaultPlan((), seed)
    clock_file = folder / "clock"
    environment = {}
    if FAULTS[fault].moves_clock:
        faketime.shift(clock_file, 0)
        environment = faketime.shifted(faketime.installed(), clock_file)
    number = next(NUMBERS)
    user, namespace = f"operator-{number}", f"faults-{number}"
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(fault_proxy(plane, user, GROUP, plan=plan))
        await stack.enter_async_context(pods_that_run(plane))
        tenants = await stack.enter_async_context(fleet(seed))
        await tenants.user.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        chance = random.Random(f"{seed} of the machine")
        stage = Stage(plane, proxy, plan, folder, user, namespace, chance, environment, clock_file)
        stack.callback(stage.end)
        stage.start_operator()
        await stage.leads()
        yield stage, tenants


async def calm(stage: Stage, tenants: Fleet) -> float:
    """The first tenants become ready without a fault. Returns the time that it took, seconds."""
    began = stage.now()
    await tenants.populate()
    await until_none(tenants.unready, CALM_SECONDS, "the first tenants are ready")
    return stage.now() - began


async def disturb(stage: Stage, tenants: Fleet, fault: str) -> None:
    """The fault, while people edit."""
    async with asyncio.TaskGroup() as group:
        group.create_task(FAULTS[fault].disturb(stage))
        await tenants.edit()
        stage.edited.set()


async def recover(stage: Stage, tenants: Fleet, within_seconds: float) -> tuple[float, Comparison]:
    """Time from the end of the fault until everything is right, also tenants that are created at that moment."""
    ended = stage.now()
    comparison = Comparison(tenants)
    await comparison.create()
    await until_none(comparison.differences, within_seconds, "every tenant is what a fresh create becomes")
    seconds = stage.now() - ended
    await stage.leads()
    return seconds, comparison


async def be_quiet(stage: Stage, tenants: Fleet, quiet_seconds: float) -> None:
    """Every tenant is reconciled once more, and for a while nothing is written and no reconcile fails."""
    deadline = stage.now() + QUIET_WITHIN_SECONDS + quiet_seconds
    while True:
        written, failed = len(writes_of(stage.plane, stage.user)), stage.failed_reconciles()
        wanted = stage.reconciles() + len(tenants.wanted)
        await tenants.nudge()
        await eventually(partial(has_reconciled, stage, wanted), "each tenant is reconciled", poll_seconds=0.3)
        await asyncio.sleep(quiet_seconds)
        writes, failed = writes_of(stage.plane, stage.user)[written:], stage.failed_reconciles() - failed
        if not writes and not failed:
            return
        problems = [*map(str, writes[:10]), *([f"{failed:.0f} reconciles failed"] if failed else [])]
        assert stage.now() < deadline, "\n".join(["still writing:", *problems])


async def has_reconciled(stage: Stage, wanted: float) -> bool:
    return await asyncio.to_thread(stage.reconciles) >= wanted


async def until_none(problems: Callable[[], Awaitable[list[str]]], within_seconds: float, what: str) -> None:
    """Poll until there is no problem; otherwise raises AssertionError with the first ones."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_seconds
    while found := await problems():
        assert loop.time() < deadline, f"not within {within_seconds:.0f} s: {what}\n" + "\n".join(found[:10])
        await asyncio.sleep(LOOK_SECONDS)
