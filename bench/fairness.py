"""Measures how long the repair of one team's child takes, alone and while another team makes 100 edits a second: from
the answer to the change that spoils it to the write that repairs it, as the API server received it (its audit log). One
real `tts-operator run` against a real API server on the same machine, without nodes.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bench.figures import Figure, latencies
from bench.operators import administrator, control_plane, each
from hack.cluster.control_plane import ControlPlane
from tests.support.api_server import KubernetesUser, eventually
from tests.support.control_planes import apply
from tests.support.operator_process import Operator, role, role_binding, writes_of
from tests.support.resources import model_body, tenant_body
from tts_operator.cluster.errors import ClusterError
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import CONFIG_MAP, TENANT
from tts_operator.objects.manifest import Ref
from tts_operator.objects.names import quota_config_name, server_config_name

SYSTEM, BUSY, QUIET = "ttsfleet-system", "team-busy", "team-quiet"
EDITED = 10
"""Tenants of the busy team."""
SAMPLES = int(os.environ.get("FAIRNESS_SAMPLES", "50"))
"""Tenants of the quiet team: of each one child is repaired alone, and another one beside the edits. A child that is
spoiled again and again would be repaired at intervals that grow."""
EDITS_PER_SECOND = 100.0
MAX_EDITS_UNDER_WAY = 16
"""Edits without an answer yet: beyond that the editor waits, and its rate shows what the machine takes."""
SCHEDULE = {"default": {"minReplicas": 1, "maxReplicas": 2}}
MODEL = "espeak"
PATIENCE_SECONDS = 600.0
SPOILED = "spoiled"


@dataclass
class Edits:
    """Edits of the busy team."""

    made: int = 0
    refused: int = 0
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        return self.made / self.seconds


async def measure() -> list[Figure]:
    with control_plane() as plane, tempfile.TemporaryDirectory() as folder:
        apply(plane, role(), role_binding())
        async with administrator(SYSTEM, BUSY, QUIET) as person:
            await person.create(model_body(MODEL))
            operator = Operator.start(plane, Path(folder), "operator", SYSTEM)
            try:
                return await _measured(plane, person, operator)
            finally:
                operator.end()


async def _measured(plane: ControlPlane, person: KubernetesUser, operator: Operator) -> list[Figure]:
    keys = [*(Key(BUSY, f"tenant-{number}") for number in range(EDITED)), *_quiet()]
    await each(keys, lambda key: person.create(tenant_body(MODEL, key=key, schedule=SCHEDULE)))
    await eventually(lambda: _are_made(person, keys), "every tenant has its children", PATIENCE_SECONDS, 1)
    alone = await _repairs(plane, person, [Ref.of(CONFIG_MAP, QUIET, quota_config_name(key.name)) for key in _quiet()])
    configs = [Ref.of(CONFIG_MAP, QUIET, server_config_name(key.name, MODEL)) for key in _quiet()]
    async with administrator() as editor, _editing(editor) as edits:  # with connections of its own
        beside = await _repairs(plane, person, configs)
    waits = {lane: _mean_wait_seconds(operator, lane) for lane in ("edit", "child")}
    note = f"{edits.made} edits, {edits.refused} refused"
    return [
        *latencies("repair, alone", alone, f"{len(alone)} repairs"),
        *latencies("repair, beside the edits", beside, f"{len(beside)} repairs"),
        Figure("edits of the other team", edits.per_second, "/s", note),
        *(Figure(f"mean time in the queue, lane {lane}", seconds * 1e3, "ms") for lane, seconds in waits.items()),
    ]


def _mean_wait_seconds(operator: Operator, lane: str) -> float:
    name = "tts_operator_queue_wait_seconds"
    return operator.metric(f"{name}_sum", lane=lane) / operator.metric(f"{name}_count", lane=lane)


def _quiet() -> list[Key]:
    return [Key(QUIET, f"tenant-{number}") for number in range(SAMPLES)]


async def _are_made(person: KubernetesUser, keys: Sequence[Key]) -> bool:
    found = {
        (body["metadata"]["namespace"], body["metadata"]["name"]) async for body in person.cluster.list(CONFIG_MAP)
    }
    wanted = ((key.namespace, name) for key in keys for name in _configs(key))
    return found.issuperset(wanted)


def _configs(key: Key) -> tuple[str, str]:
    return quota_config_name(key.name), server_config_name(key.name, MODEL)


async def _repairs(plane: ControlPlane, person: KubernetesUser, refs: Sequence[Ref]) -> list[float]:
    """Spoil one after the other, and wait until it is repaired. Seconds of each repair."""
    spoiled: dict[str, datetime] = {}
    for ref in refs:
        live = await person.cluster.get(ref)
        assert live is not None
        name = next(iter(live["data"]))
        await person.patch(ref, {"data": {name: SPOILED}})
        spoiled[ref.name] = datetime.now(UTC)
        await eventually(partial(_is_repaired, person, ref), f"{ref} is repaired", PATIENCE_SECONDS, 0.1)
    found: dict[str, float] = {}
    for write in writes_of(plane, "operator"):
        at = spoiled.get(write.name) if write.namespace == QUIET and write.resource == CONFIG_MAP.plural else None
        if at is not None and write.at >= at:
            found.setdefault(write.name, (write.at - at).total_seconds())
    return list(found.values())


async def _is_repaired(person: KubernetesUser, ref: Ref) -> bool:
    live = await person.cluster.get(ref)
    return live is not None and SPOILED not in live["data"].values()


@asynccontextmanager
async def _editing(person: KubernetesUser) -> AsyncIterator[Edits]:
    """Edit one tenant after the other, at this rate if the API server takes it, until the block ends."""
    edits, began, under_way = Edits(), time.monotonic(), set[asyncio.Task[None]]()

    async def edit(number: int) -> None:
        ref = Ref.of(TENANT, BUSY, f"tenant-{number % EDITED}")
        try:
            await person.patch(ref, {"spec": {"quota": {"requestsPerMinute": 1 + number % 997}}})
        except ClusterError:
            edits.refused += 1
        else:
            edits.made += 1

    async def keep_editing() -> None:
        for number in itertools.count():
            if len(under_way) >= MAX_EDITS_UNDER_WAY:
                await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            under_way.add(task := asyncio.create_task(edit(number)))
            task.add_done_callback(under_way.discard)
            await asyncio.sleep(max(0.0, began + (number + 1) / EDITS_PER_SECOND - time.monotonic()))

    editor = asyncio.create_task(keep_editing())
    try:
        yield edits
    finally:
        edits.seconds = time.monotonic() - began
        editor.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await editor
        await asyncio.gather(*under_way)
