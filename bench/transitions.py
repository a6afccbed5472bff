"""Measures the time from the second at which tenants' windows open to the write that moves each HPA's bounds, as the
API server received it (its audit log). One real `tts-operator run` against a real API server on the same machine,
without nodes.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from bench.figures import Figure, percentile
from bench.operators import administrator, control_plane
from hack.cluster.control_plane import ControlPlane
from tests.support.api_server import KubernetesUser, eventually
from tests.support.operator_process import Operator, role, role_binding, writes_of
from tests.support.resources import model_body, tenant_body
from tts_operator.objects.keys import Key
from tts_operator.objects.manifest import Ref
from tts_operator.objects.names import GROUP

FLEETS = (1, 200)
SYSTEM = "ttsfleet-system"
DAY = {"minReplicas": 3, "maxReplicas": 6}
NIGHT = {"minReplicas": 1, "maxReplicas": 2}
HPAS = "horizontalpodautoscalers"
LOOK_SECONDS = 3.0
PATIENCE_SECONDS = 900.0


async def measure() -> list[Figure]:
    namespaces = [f"team-{count}" for count in FLEETS]
    with control_plane() as plane, tempfile.TemporaryDirectory() as folder:
        plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all([role(), role_binding()]))
        async with administrator(SYSTEM, *namespaces) as person:
            await person.create(model_body())
            operator = Operator.start(plane, Path(folder), "operator", SYSTEM)
            try:
                await eventually(lambda: _is_ready(operator), "the operator is ready", 60)
                return [
                    figure
                    for count, namespace in zip(FLEETS, namespaces, strict=True)
                    for figure in figures(await lateness(plane, person, namespace, count))
                ]
            finally:
                operator.end()


async def _is_ready(operator: Operator) -> bool:
    return operator.ready()


def figures(late: Sequence[float]) -> list[Figure]:
    if len(late) == 1:
        return [Figure("1 tenant", late[0], "s")]
    tenants = f"{len(late)} tenants at the same second"
    return [
        Figure(f"{tenants}, P50", percentile(late, 50), "s"),
        Figure(f"{tenants}, last", max(late), "s"),
    ]


async def lateness(plane: ControlPlane, person: KubernetesUser, namespace: str, count: int) -> list[float]:
    """Seconds from the opening of their windows to each tenant's write. The operator `operator` runs."""
    keys = [Key(namespace, f"tenant-{number}") for number in range(count)]
    for key in keys:
        await person.create(tenant_body("espeak", schedule={"default": DAY}, key=key))
    await wait(lambda: _all(plane, HPAS, namespace, count, **DAY))
    # Windows open on whole minutes: this one leaves time to change every tenant.
    opens = (datetime.now(UTC) + timedelta(seconds=20 + count)).replace(second=0, microsecond=0) + timedelta(minutes=1)
    closes = opens + timedelta(hours=2)
    night = {"name": "night", "start": f"{opens:%H:%M}", "end": f"{closes:%H:%M}", **NIGHT}
    for key in keys:
        ref = Ref(f"{GROUP}/v1alpha1", "TTSTenant", key.namespace, key.name)
        await person.patch(ref, {"spec": {"schedule": {"windows": [night]}}})
    await wait(lambda: _all(plane, "ttstenants", namespace, count, time=f"{opens:%Y-%m-%dT%H:%M:%SZ}"))
    if datetime.now(UTC) >= opens:
        raise RuntimeError(f"{count} tenants took until after {opens:%H:%M} to learn of it: the machine is too busy")
    await asyncio.sleep((opens - datetime.now(UTC)).total_seconds())
    await wait(lambda: _all(plane, HPAS, namespace, count, **NIGHT))
    late = [
        (write.at - opens).total_seconds()
        for write in writes_of(plane, "operator")
        if write.resource == HPAS and write.namespace == namespace and write.at >= opens
    ]
    if len(late) < count:
        raise RuntimeError(f"the audit log holds {len(late)} writes of {count}")
    return late


async def wait(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition. It is checked seldom, because checks disturb the measurement. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await holds():  # noqa: ASYNC110 - a cluster sends no event for it
            await asyncio.sleep(LOOK_SECONDS)


async def _all(plane: ControlPlane, plural: str, namespace: str, count: int, **wanted: object) -> bool:
    """Whether this many objects have these values, in the HPA's spec or in the tenant's next transition."""
    listed = json.loads(await asyncio.to_thread(plane.kubectl, "get", plural, "-n", namespace, "-o", "json"))
    places = [
        item["spec"] if plural == HPAS else item.get("status", {}).get("nextTransition", {}) for item in listed["items"]
    ]
    return len(places) == count and all(place.get(name) == value for place in places for name, value in wanted.items())
