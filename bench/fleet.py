"""Measures `tts-operator run` with many tenants of one pool each, in teams of 50, on a real API server on the same
machine; pods run at once, without nodes. First sync: from the start of the process until every tenant is ready, when no
child existed. Restart: from the start until each is reconciled. Reconciles are one at a time, between pauses.
`FLEET_TENANTS=100,1000,10000` chooses the numbers of tenants.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.figures import Figure, Result, percentile
from bench.operators import administrator, control_plane, each
from bench.process_costs import cpu_seconds, resident_bytes
from hack.cluster.control_plane import ControlPlane
from tests.support.api_server import KubernetesUser, eventually
from tests.support.control_planes import apply
from tests.support.operator_process import Operator, requests_of, role, role_binding
from tests.support.pods_that_run import pods_that_run
from tests.support.resources import Object, model_body, tenant_body
from tts_operator.cluster.client import Cluster
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import CONFIG_MAP, MODEL, TENANT
from tts_operator.objects.labels import MANAGED
from tts_operator.objects.manifest import Body, Ref

FLEETS = tuple(int(number) for number in os.environ.get("FLEET_TENANTS", "100,1000").split(","))
SYSTEM = "ttsfleet-system"
MODEL_NAME = "espeak"
TEAM = 50
SAMPLES = 40
IDLE_SECONDS = 30.0
QUIET_SECONDS = 5.0
PATIENCE_SECONDS = 7200.0
LOOK_SECONDS = 1.0
POLL_SECONDS = 0.01
MEBIBYTE = 2**20
KIBIBYTE = 2**10
SPEC: dict[str, Any] = {
    "auth": {"modes": ["None"]},
    "schedule": {"timeZone": "Europe/Berlin", "preset": "DayNightWeekend"},
}
READY, PROGRAMMED = "Ready", "Programmed"
RECONCILES = "tts_operator_reconcile_seconds"


@dataclass
class Fleet:
    """One number of tenants with what was measured of it, by name."""

    count: int
    plane: ControlPlane
    person: KubernetesUser
    cluster: Cluster
    folder: Path
    costs: dict[str, float] = field(default_factory=dict)
    operators: list[Operator] = field(default_factory=list)

    @property
    def keys(self) -> list[Key]:
        return [Key(f"team-{number // TEAM}", f"tenant-{number}") for number in range(self.count)]

    def end(self) -> None:
        for operator in self.operators:
            operator.end()

    def start(self, user: str) -> Operator:
        folder = self.folder / user
        folder.mkdir()
        self.operators.append(Operator.start(self.plane, folder, user, SYSTEM, ("--lease-seconds=15",)))
        return self.operators[-1]


async def measure() -> Result:
    fleets = [await _measured(count) for count in FLEETS]
    figures = [figure for fleet in fleets for figure in _figures(fleet)]
    return Result([*figures, *_slopes(fleets)], _curves(fleets))


async def _measured(count: int) -> Fleet:
    controllers = {"kube-controller-manager": ("--kube-api-qps=500", "--kube-api-burst=1000")}
    with control_plane(audit_reads=True, extra=controllers) as plane, tempfile.TemporaryDirectory() as folder:
        plane.processes.stop("kube-scheduler", patience_seconds=1)
        apply(plane, role(), role_binding())
        namespaces = [f"team-{number}" for number in range((count + TEAM - 1) // TEAM)]
        async with AsyncExitStack() as stack:
            person = await stack.enter_async_context(administrator(SYSTEM, *namespaces))
            await stack.enter_async_context(pods_that_run(plane))
            fleet = Fleet(count, plane, person, person.cluster, Path(folder))
            stack.callback(fleet.end)
            await _run(fleet)
            return fleet


async def _run(fleet: Fleet) -> None:
    """The course of one measurement: each step finds the fleet as the one before has left it."""
    await fleet.person.create(model_body(MODEL_NAME))
    await each(fleet.keys, lambda key: fleet.person.create(tenant_body(MODEL_NAME, key=key, **SPEC)))
    leader = await _first_sync(fleet)
    standby = fleet.start("standby")
    await _wait(lambda: _is_ready(standby), LOOK_SECONDS)
    await _quiet(leader)
    await _idle(fleet, leader, standby)
    await _reconciles(fleet, leader)
    await _one_among_many(fleet)
    await _model(fleet)
    await _quiet(leader)
    await _failover(fleet, leader, standby)
    await _restart(fleet, standby)


async def _first_sync(fleet: Fleet) -> Operator:
    began = time.monotonic()
    leader = fleet.start("leader")
    await _wait(lambda: _all_are(fleet, READY), LOOK_SECONDS)
    fleet.costs["first sync"] = time.monotonic() - began
    return leader


async def _idle(fleet: Fleet, leader: Operator, standby: Operator) -> None:
    """Measure while nobody changes anything: the controllers of the API server do what they always do."""
    operators = {"leader": leader, "standby": standby}
    for name, operator in operators.items():
        fleet.costs[f"memory of the {name}"] = resident_bytes(operator.process.pid) / MEBIBYTE
    before = {
        name: (cpu_seconds(each.process.pid), requests_of(fleet.plane, each.user)) for name, each in operators.items()
    }
    await asyncio.sleep(IDLE_SECONDS)
    for name, operator in operators.items():
        used_seconds, requests = before[name]
        fleet.costs[f"CPU of an idle {name}"] = (cpu_seconds(operator.process.pid) - used_seconds) / IDLE_SECONDS * 1e3
        sent = requests_of(fleet.plane, operator.user) - requests
        fleet.costs[f"requests of an idle {name}"] = sent / IDLE_SECONDS


async def _reconciles(fleet: Fleet, leader: Operator) -> None:
    changes: dict[str, Callable[[int], Object]] = {
        "converged": lambda turn: {"metadata": {"annotations": {"example.org/turn": str(turn)}}},
        "changed": lambda turn: {"spec": {"quota": {"requestsPerMinute": 1 + turn % 9}}},
    }
    keys = fleet.keys[:: max(1, fleet.count // SAMPLES)][:SAMPLES]
    for name, change in changes.items():
        milliseconds = []
        for turn, key in enumerate(keys, start=1):
            seconds, count = _reconciled(leader)
            await fleet.person.patch(Ref.of(TENANT, key.namespace, key.name), change(turn))
            await _wait(lambda count=count: _has_more(leader, count), 2 * POLL_SECONDS)  # type: ignore[misc]
            after_seconds, after_count = _reconciled(leader)
            milliseconds.append((after_seconds - seconds) / (after_count - count) * 1e3)
        for percent in (50, 99):
            fleet.costs[f"reconcile, {name}, P{percent}"] = percentile(milliseconds, percent)


async def _one_among_many(fleet: Fleet) -> None:
    """New tenants, one after the other, beside all others."""
    seconds = []
    for number in range(SAMPLES):
        key = Key("team-0", f"new-{number}")
        began = time.monotonic()
        await fleet.person.create(tenant_body(MODEL_NAME, key=key, **SPEC))
        await _wait(lambda key=key: _is(fleet, key, PROGRAMMED), POLL_SECONDS)  # type: ignore[misc]
        seconds.append(time.monotonic() - began)
    for percent in (50, 99):
        fleet.costs[f"apply to programmed, P{percent}"] = percentile(seconds, percent) * 1e3


async def _model(fleet: Fleet) -> None:
    """A voice more, which every tenant's configuration names."""
    voices = [*model_body()["spec"]["voices"], {"name": "fr", "languages": ["fr"]}]
    began = time.monotonic()
    await fleet.person.patch(
        Ref.of(MODEL, "", MODEL_NAME), {"spec": {"voices": voices, "languages": ["en", "de", "fr"]}}
    )
    await _wait(lambda: _all_speak_french(fleet), LOOK_SECONDS)
    fleet.costs["change of a model"] = time.monotonic() - began


async def _failover(fleet: Fleet, leader: Operator, standby: Operator) -> None:
    began = time.monotonic()
    leader.kill()
    await _wait(lambda: _leads(standby), POLL_SECONDS)
    fleet.costs["failover, until it leads"] = time.monotonic() - began
    await _wait(lambda: _has_more(standby, fleet.count), LOOK_SECONDS)
    fleet.costs["failover, until all are reconciled"] = time.monotonic() - began


async def _restart(fleet: Fleet, operator: Operator) -> None:
    await asyncio.to_thread(operator.terminate, 60)
    began = time.monotonic()
    again = fleet.start("again")
    await _wait(lambda: _is_ready(again), LOOK_SECONDS)
    await _wait(lambda: _has_more(again, fleet.count), LOOK_SECONDS)
    fleet.costs["restart"] = time.monotonic() - began


UNITS = {
    "first sync": "s",
    "memory of the leader": "MiB",
    "memory of the standby": "MiB",
    "CPU of an idle leader": "ms/s",
    "CPU of an idle standby": "ms/s",
    "requests of an idle leader": "/s",
    "requests of an idle standby": "/s",
    "reconcile, converged, P50": "ms",
    "reconcile, converged, P99": "ms",
    "reconcile, changed, P50": "ms",
    "reconcile, changed, P99": "ms",
    "apply to programmed, P50": "ms",
    "apply to programmed, P99": "ms",
    "change of a model": "s",
    "failover, until it leads": "s",
    "failover, until all are reconciled": "s",
    "restart": "s",
}
WHOLE = (
    "first sync",
    "memory of the leader",
    "memory of the standby",
    "CPU of an idle leader",
    "requests of an idle leader",
    "change of a model",
    "failover, until all are reconciled",
    "restart",
)
"""Costs of the whole fleet, which should grow as it does. The others are of one tenant, and should not grow."""


def _figures(fleet: Fleet) -> list[Figure]:
    return [
        Figure(name, fleet.costs[name], unit, f"{fleet.count:,} tenants")
        for name, unit in UNITS.items()
        if name in fleet.costs
    ]


def _slopes(fleets: Sequence[Fleet]) -> list[Figure]:
    """Costs that each further tenant adds to those of the whole fleet."""
    if len(fleets) < 2:
        return []
    first, last = fleets[0], fleets[-1]
    return [
        Figure(
            f"{name}, for each further tenant",
            (last.costs[name] - first.costs[name]) / (last.count - first.count),
            UNITS[name],
            f"from {first.count:,} to {last.count:,} tenants",
        )
        for name in WHOLE
    ]


def _curves(fleets: Sequence[Fleet]) -> dict[str, list[tuple[float, float]]]:
    """Costs beside those of the smallest fleet: of one tenant for those of the whole fleet."""
    first = fleets[0]

    def relative(fleet: Fleet, name: str) -> float:
        per = fleet.count / first.count if name in WHOLE else 1
        return fleet.costs[name] / per / first.costs[name] if first.costs[name] else 0.0

    names = (*WHOLE, "reconcile, converged, P50", "apply to programmed, P50")
    return {name: [(fleet.count, relative(fleet, name)) for fleet in fleets] for name in names}


async def _wait(holds: Callable[[], Awaitable[bool]], look_seconds: float) -> None:
    await eventually(holds, "the fleet gets on", PATIENCE_SECONDS, look_seconds)


async def _quiet(operator: Operator) -> None:
    """Wait until nothing is reconciled any more."""
    count, since = -1.0, time.monotonic()
    while time.monotonic() - since < QUIET_SECONDS:
        await asyncio.sleep(LOOK_SECONDS)
        before, (_, count) = count, _reconciled(operator)
        if count != before:
            since = time.monotonic()


async def _all_are(fleet: Fleet, condition: str) -> bool:
    found = [is_true(body, condition) async for body in fleet.cluster.list(TENANT)]
    return len(found) >= fleet.count and all(found)


async def _is(fleet: Fleet, key: Key, condition: str) -> bool:
    body = await fleet.cluster.get(Ref.of(TENANT, key.namespace, key.name))
    return body is not None and is_true(body, condition)


def is_true(body: Body, condition: str) -> bool:
    conditions = (body.get("status") or {}).get("conditions") or ()
    generation = body["metadata"]["generation"]
    return any(
        each["type"] == condition and each["status"] == "True" and each.get("observedGeneration") == generation
        for each in conditions
    )


async def _all_speak_french(fleet: Fleet) -> bool:
    """Whether every tenant's configuration has the model's new voice."""
    maps = [body async for body in fleet.cluster.list(CONFIG_MAP, "", MANAGED) if "server.json" in body["data"]]
    return len(maps) >= fleet.count and all('"fr"' in body["data"]["server.json"] for body in maps)


async def _is_ready(operator: Operator) -> bool:
    return await asyncio.to_thread(operator.ready)


async def _leads(operator: Operator) -> bool:
    return await asyncio.to_thread(operator.leads)


async def _has_more(operator: Operator, count: float) -> bool:
    _, reconciled = await asyncio.to_thread(_reconciled, operator)
    return reconciled > count


def _reconciled(operator: Operator) -> tuple[float, float]:
    """Seconds and number of all reconciles of tenants."""
    return operator.metric(f"{RECONCILES}_sum", kind="tenant"), operator.metric(f"{RECONCILES}_count", kind="tenant")
