"""Measures the time from the second at which tenants' windows open to the write that moves each HPA's bounds, as the
API server received it (its audit log). One real `tts-operator run` against a real API server on the same machine,
without nodes. Beside it, in the same run, a bare loop that sends the same patches: what the API server and the client
take by themselves.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from bench.figures import Figure, percentile
from bench.operators import administrator, control_plane
from hack.cluster.control_plane import ControlPlane
from tests.support.api_server import KubernetesUser, eventually
from tests.support.operator_process import GROUP as OPERATORS
from tests.support.operator_process import Operator, role, role_binding, writes_of
from tests.support.resources import model_body, tenant_body
from tts_operator.cluster.client import Cluster
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import MODEL
from tts_operator.objects.manifest import Manifest, Ref
from tts_operator.objects.names import GROUP
from tts_operator.scheduled_scaling.executor import MAX_CONCURRENT_WRITES

FLEETS = (1, int(os.environ.get("TRANSITION_TENANTS", "200")))
BARE = "bare-loop"
"""User of the loop in the audit log."""
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
                figures = [
                    figure
                    for count, namespace in zip(FLEETS, namespaces, strict=True)
                    for figure in figures(await lateness(plane, person, namespace, count))
                ]
            finally:
                operator.end()
        return [*figures, *await _bare_loop(plane, namespaces[-1], FLEETS[-1])]


async def _bare_loop(plane: ControlPlane, namespace: str, count: int) -> list[Figure]:
    """Lateness of a loop that applies other bounds to the same HPAs, with as many requests at once as the operator."""
    os.environ["KUBECONFIG"] = str(plane.kubeconfig_for(BARE, BARE, OPERATORS))
    listed = json.loads(await asyncio.to_thread(plane.kubectl, "get", HPAS, "-n", namespace, "-o", "json"))
    manifests = iter([Manifest.of(_patch(item)) for item in listed["items"]])
    async with await Cluster.connect(lambda: True) as cluster:

        async def work() -> None:
            for manifest in manifests:
                await cluster.apply(manifest, force=True)

        await asyncio.gather(*(cluster.revision(MODEL) for _ in range(MAX_CONCURRENT_WRITES)))
        began = datetime.now(UTC)
        await asyncio.gather(*(work() for _ in range(MAX_CONCURRENT_WRITES)))
    late = [(write.at - began).total_seconds() for write in writes_of(plane, BARE) if write.resource == HPAS]
    if len(late) < count:
        raise RuntimeError(f"the audit log holds {len(late)} writes of {count}")
    return _figures(f"{count} patches of a bare loop", late)


def _patch(live: dict[str, Any]) -> dict[str, Any]:
    """The apply of an HPA with other bounds."""
    metadata = {name: live["metadata"][name] for name in ("name", "namespace", "uid", "labels", "ownerReferences")}
    spec = {name: part for name, part in live["spec"].items() if name in ("scaleTargetRef", "metrics")}
    return {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": metadata, "spec": {**spec, **DAY}}


def _figures(what: str, late: list[float]) -> list[Figure]:
    return [
        Figure(f"{what}, P50", percentile(late, 50), "s"),
        Figure(f"{what}, P99", percentile(late, 99), "s"),
        Figure(f"{what}, last", max(late), "s"),
    ]


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
