"""Everything that disturbs the operator while people edit: each function returns when it is over."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hack import faketime
from tests.faults.stage import Stage
from tests.support.api_faults import ApiFault
from tests.support.api_server import eventually
from tests.support.control_planes import start_again

TIMES = 2
"""Times that a process is killed, frozen or stopped, at least."""
MET_SECONDS = 30.0
MIN_MET = 5
"""Requests that must have met a fault: otherwise there was none."""
TEN_MINUTES_SECONDS = 600.0
SPRING = datetime(2027, 3, 28, 0, 59, 50, tzinfo=UTC)
AUTUMN = datetime(2027, 10, 31, 0, 59, 50, tzinfo=UTC)
"""Ten seconds before the clocks of Europe are changed. A window of the tenants is left out, or comes twice."""
SCHEDULER = "kube-scheduler"
ALL = "all-of-these"
ONLY = os.environ.get("FAULT") or ""
"""The fault that alone is run; empty for all."""
Disturb = Callable[[Stage], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Fault:
    """One row of the table."""

    about: str
    disturb: Disturb
    api_faults: tuple[ApiFault, ...] = ()
    moves_clock: bool = False


async def by_proxy(stage: Stage) -> None:
    """Requests meet faults for as long as people edit, and until enough of them have."""
    stage.plan.active = True
    try:
        await stage.edited.wait()
        await eventually(lambda: enough_met(stage), "enough requests have met a fault", MET_SECONDS)
    finally:
        stage.plan.active = False


async def enough_met(stage: Stage) -> bool:
    return stage.plan.met.total() >= MIN_MET


async def killed(stage: Stage) -> None:
    for _ in range(TIMES):
        await stage.pause(0.5, 4)
        await asyncio.to_thread(stage.operator.kill)
        await stage.pause(0, 1)
        stage.start_operator()


async def frozen(stage: Stage) -> None:
    """Some of these times are longer than the lease, which then ends."""
    for _ in range(TIMES):
        await stage.pause(0.5, 3)
        stage.operator.freeze()
        try:
            await stage.pause(1, 12, until_edited=False)
        finally:
            stage.operator.thaw()


async def clock_moved(stage: Stage) -> None:
    moves = [TEN_MINUTES_SECONDS, -TEN_MINUTES_SECONDS]
    stage.chance.shuffle(moves)
    for seconds in (*moves, 0.0):
        await stage.pause(1, 4)
        faketime.shift(stage.clock_file, seconds)


async def clock_moved_to_the_days_of_change(stage: Stage) -> None:
    days = [SPRING, AUTUMN]
    stage.chance.shuffle(days)
    for day in days:
        await stage.pause(0.5, 2)
        faketime.shift(stage.clock_file, (day - datetime.now(UTC)).total_seconds())
        await stage.pause(12, 15, until_edited=False)  # past the change


async def etcd_stopped(stage: Stage) -> None:
    await stopped(stage, "etcd")


async def api_server_stopped(stage: Stage) -> None:
    await stopped(stage, "kube-apiserver")


async def stopped(stage: Stage, program: str) -> None:
    for _ in range(TIMES):
        await stage.pause(0.5, 3)
        await asyncio.to_thread(stage.plane.processes.stop, program, patience_seconds=3)
        await stage.pause(1, 6, until_edited=False)
        await start_again(stage.plane)
        await asyncio.to_thread(stage.plane.processes.stop, SCHEDULER, patience_seconds=1)


def _by_proxy(about: str, *faults: ApiFault) -> Fault:
    return Fault(about, by_proxy, faults)


FAULTS: Mapping[str, Fault] = {
    "409": _by_proxy("writes are refused with 409", ApiFault.CONFLICT),
    "410": _by_proxy("watches and lists end with 410", ApiFault.EXPIRED),
    "429": _by_proxy("requests are refused with 429 and Retry-After", ApiFault.THROTTLED),
    "500": _by_proxy("requests are refused with 500", ApiFault.INTERNAL),
    "503": _by_proxy("requests are refused with 503", ApiFault.UNAVAILABLE),
    "hang": _by_proxy("requests and watches are not answered", ApiFault.HANG),
    "cut-body": _by_proxy("answers are cut in the middle", ApiFault.CUT_BODY),
    "cut-watch": _by_proxy("watches are cut in the middle of an event", ApiFault.CUT_WATCH),
    "late-events": _by_proxy("events come up to three seconds late", ApiFault.LATE_EVENTS),
    "doubled-events": _by_proxy("events come twice", ApiFault.DOUBLED_EVENTS),
    "reordered-events": _by_proxy("events of different objects change places", ApiFault.REORDERED_EVENTS),
    "stale-lists": _by_proxy("lists are answered as they were before", ApiFault.STALE_LISTS),
    "done-but-failed": _by_proxy("writes are done, and answered with an error or not at all", ApiFault.DONE_BUT_FAILED),
    ALL: _by_proxy("any of the above", *ApiFault),
    "etcd-stopped": Fault("etcd is stopped and started", etcd_stopped),
    "api-server-stopped": Fault("the API server is stopped and started", api_server_stopped),
    "operator-killed": Fault("the operator is killed, and started again", killed),
    "operator-frozen": Fault("the operator is frozen for seconds", frozen),
    "clock-moved": Fault("the operator's clock is moved by ten minutes, both ways", clock_moved, moves_clock=True),
    "clock-changed": Fault(
        "the operator's clock passes both changes of summer time", clock_moved_to_the_days_of_change, moves_clock=True
    ),
}
"""Every fault by the name that `make faults FAULT=name` takes."""
