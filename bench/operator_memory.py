"""Measures the resident memory of the leading `tts-operator run` by the number of tenants, each with one pool of one
replica, against a real API server on the same machine, without nodes. It is read once all tenants are reconciled.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import yaml

from bench.figures import Figure
from bench.operators import administrator, control_plane
from bench.process_costs import resident_bytes
from hack.cluster.control_plane import ControlPlane
from tests.support.api_server import eventually
from tests.support.operator_process import Operator, role, role_binding
from tests.support.resources import model_body, tenant_body
from tts_operator.objects.keys import Key

TENANTS = int(os.environ.get("MEMORY_TENANTS", "500"))
SYSTEM = "ttsfleet-system"
NAMESPACE = "team-1"
LOOK_SECONDS = 3.0
PATIENCE_SECONDS = 3600.0
MEBIBYTE = 2**20
KIBIBYTE = 2**10


async def measure() -> list[Figure]:
    with control_plane() as plane, tempfile.TemporaryDirectory() as folder:
        plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all([role(), role_binding()]))
        async with administrator(SYSTEM, NAMESPACE) as person:
            await person.create(model_body())
            operator = Operator.start(plane, Path(folder), "operator", SYSTEM)
            try:
                await eventually(lambda: _is_ready(operator), "the operator is ready", PATIENCE_SECONDS)
                sizes = {0: resident_bytes(operator.process.pid)}
                for count in (TENANTS // 5, TENANTS):
                    for number in range(max(sizes), count):
                        await person.create(tenant_body("espeak", key=Key(NAMESPACE, f"tenant-{number}")))
                    await _wait(lambda count=count: _reconciled(plane, count))  # type: ignore[misc]
                    sizes[count] = resident_bytes(operator.process.pid)
            finally:
                operator.end()
    each = (sizes[TENANTS] - sizes[0]) / TENANTS
    return [
        *(Figure(f"{count:,} tenants", size / MEBIBYTE, "MiB") for count, size in sizes.items()),
        Figure("for each tenant", each / KIBIBYTE, "KiB"),
    ]


async def _is_ready(operator: Operator) -> bool:
    return operator.ready()


async def _wait(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition. It is checked seldom, because checks cost the API server. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await holds():  # noqa: ASYNC110 - a cluster sends no event for it
            await asyncio.sleep(LOOK_SECONDS)


async def _reconciled(plane: ControlPlane, count: int) -> bool:
    """Whether all of so many tenants have a status, and an HPA."""
    listed = await asyncio.to_thread(plane.kubectl, "get", "ttstenants,hpa", "-n", NAMESPACE, "-o", "json")
    items = json.loads(listed)["items"]
    tenants = [item for item in items if item["kind"] == "TTSTenant"]
    told = [tenant for tenant in tenants if tenant.get("status", {}).get("url")]
    return len(told) == len(tenants) == count == len(items) - len(tenants)
