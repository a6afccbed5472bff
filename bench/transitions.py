"""From the second at which tenants' windows open to the write that moves each HPA's bounds, as the API server received
it (its audit log). One real `tts-operator run` against a real API server on the same machine, without nodes.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from bench.figures import Figure, percentile
from bench.operators import administrator, control_plane
from hack.cluster.control_plane import ControlPlane
from tests.integration.operator.process import Operator, role, role_binding, writes_of
from tests.integration.operator.world import Person, eventually, model, tenant
from tts_operator.observed import Key

FLEETS = (1, 200)
SYSTEM = "ttsfleet-system"
DAY = {"minReplicas": 3, "maxReplicas": 6}
NIGHT = {"minReplicas": 1, "maxReplicas": 2}
HPAS = "horizontalpodautoscalers"
LOOK_SECONDS = 3.0


async def measure() -> list[Figure]:
    namespaces = [f"team-{count}" for count in FLEETS]
    with control_plane() as plane, tempfile.TemporaryDirectory() as folder:
        plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all([role(), role_binding()]))
        async with administrator(SYSTEM, *namespaces) as person:
            await person.create(model())
            operator = Operator.start(plane, Path(folder), "operator", SYSTEM)
            try:
                await eventually(lambda: _is_ready(operator), "the operator is ready", 60)
                return [
                    figure
                    for count, namespace in zip(FLEETS, namespaces, strict=True)
                    for figure in await _lateness(plane, person, namespace, count)
                ]
            finally:
                operator.end()


async def _is_ready(operator: Operator) -> bool:
    return operator.ready()


async def _lateness(plane: ControlPlane, person: Person, namespace: str, count: int) -> list[Figure]:
    # Windows open on whole minutes: the next one that leaves time to make the children.
    opens = (datetime.now(UTC) + timedelta(seconds=20 + 1.5 * count)).replace(second=0, microsecond=0)
    opens += timedelta(minutes=1)
    closes = opens + timedelta(hours=2)
    night = {"name": "night", "start": f"{opens:%H:%M}", "end": f"{closes:%H:%M}", **NIGHT}
    for number in range(count):
        key = Key(namespace, f"tenant-{number}")
        await person.create(tenant(key, "espeak", schedule={"default": DAY, "windows": [night]}))
    await _wait(plane, namespace, DAY, count, opens)
    await asyncio.sleep((opens - datetime.now(UTC)).total_seconds())
    await _wait(plane, namespace, NIGHT, count, opens + timedelta(minutes=5))
    late = [
        (write.at - opens).total_seconds()
        for write in writes_of(plane, "operator")
        if write.resource == HPAS and write.namespace == namespace and write.at >= opens
    ]
    if len(late) < count:
        raise RuntimeError(f"the audit log holds {len(late)} writes of {count}")
    tenants = "1 tenant" if count == 1 else f"{count} tenants at the same second"
    if count == 1:
        return [Figure(f"{tenants}", late[0], "s")]
    return [
        Figure(f"{tenants}, P50", percentile(late, 50), "s"),
        Figure(f"{tenants}, last", max(late), "s"),
    ]


async def _wait(plane: ControlPlane, namespace: str, bounds: dict[str, int], count: int, deadline: datetime) -> None:
    """Until all HPAs hold these bounds; looked at seldom, since looking costs what is measured."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        listed = await asyncio.to_thread(plane.kubectl, "get", HPAS, "-n", namespace, "-o", "json")
        specs: Sequence[dict[str, object]] = [item["spec"] for item in json.loads(listed)["items"]]
        if datetime.now(UTC) >= deadline:
            raise RuntimeError(f"{len(specs)} of {count} HPAs at {deadline:%H:%M}: the machine is too busy")
        if len(specs) == count and all(spec[name] == value for spec in specs for name, value in bounds.items()):
            return
