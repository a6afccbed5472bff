"""Measures the time from the second at which tenants' windows open to the write that moves each HPA's bounds, as the
API server received it (its audit log). One real `tts-operator run` against a real API server on the same machine,
without nodes. Beside it, in the same run, a bare loop that sends the same patches: what the API server and the client
take by themselves. Then some minutes of an hour in which many windows open, as many of them on each whole minute as of
10,000 tenants whose windows open at any minute of an hour. `TRANSITION_TENANTS=200` chooses the number of tenants.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from bench.figures import Figure, latencies, percentile
from bench.operators import administrator, control_plane, each
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
MARGIN_SECONDS = 20.0
"""Time to change tenants before their windows open, and as much again for each SLOWEST_PER_SECOND of them."""
SLOWEST_PER_SECOND = 5.0
BARE = "bare-loop"
"""User of the loop in the audit log."""
SYSTEM = "ttsfleet-system"
DAY = {"minReplicas": 1, "maxReplicas": 6}
NIGHT = {"minReplicas": 1, "maxReplicas": 2}
"""No pod comes or goes by the transition: the Deployment controller would share the machine with it."""
AN_HOUR_MINUTE = 167
"""Windows that open on each minute, of 10,000 in an hour."""
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
                found = {
                    count: await lateness(plane, person, namespace, count)
                    for count, namespace in zip(FLEETS, namespaces, strict=True)
                }
                spread = await spread_lateness(plane, person, namespaces[-1], FLEETS[-1])
            finally:
                operator.end()
        bare = await _bare_loop(plane, namespaces[-1], FLEETS[-1])
    together = found[FLEETS[-1]]
    minutes = (FLEETS[-1] + AN_HOUR_MINUTE - 1) // AN_HOUR_MINUTE
    return [
        Figure("1 tenant", found[1][0], "s"),
        *latencies(f"{FLEETS[-1]:,} tenants at the same second", together),
        *latencies(f"{FLEETS[-1]:,} patches of a bare loop", bare),
        Figure("P99 beside the bare loop's", percentile(together, 99) / percentile(bare, 99), "times", "aim: 1.5"),
        *latencies(f"{FLEETS[-1]:,} tenants over {minutes} minutes, of 10,000 in an hour", spread),
    ]


async def _bare_loop(plane: ControlPlane, namespace: str, count: int) -> list[float]:
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
    return late


def _patch(live: dict[str, Any]) -> dict[str, Any]:
    """The apply of an HPA with other bounds."""
    metadata = {name: live["metadata"][name] for name in ("name", "namespace", "uid", "labels", "ownerReferences")}
    spec = {name: part for name, part in live["spec"].items() if name in ("scaleTargetRef", "metrics")}
    return {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": metadata, "spec": {**spec, **NIGHT}}


async def _is_ready(operator: Operator) -> bool:
    return operator.ready()


async def lateness(plane: ControlPlane, person: KubernetesUser, namespace: str, count: int) -> list[float]:
    """Seconds from the opening of their windows to each tenant's write. The operator `operator` runs."""
    keys = _keys(namespace, count)
    await each(keys, lambda key: person.create(tenant_body("espeak", schedule={"default": DAY}, key=key)))
    await wait(lambda: _all(plane, HPAS, namespace, count, **DAY))
    opens = _coming_minute(count)
    return await _opened(plane, person, dict.fromkeys(keys, opens), NIGHT)


async def spread_lateness(plane: ControlPlane, person: KubernetesUser, namespace: str, count: int) -> list[float]:
    """Lateness of the tenants that `lateness` has made, AN_HOUR_MINUTE of them on each of the coming minutes."""
    first = _coming_minute(count)
    opens = {
        key: first + timedelta(minutes=number // AN_HOUR_MINUTE) for number, key in enumerate(_keys(namespace, count))
    }
    return await _opened(plane, person, opens, DAY)


def _keys(namespace: str, count: int) -> list[Key]:
    return [Key(namespace, f"tenant-{number}") for number in range(count)]


def _coming_minute(count: int) -> datetime:
    """Windows open on whole minutes: this one leaves time to change every tenant."""
    ready = datetime.now(UTC) + timedelta(seconds=MARGIN_SECONDS + count / SLOWEST_PER_SECOND)
    return ready.replace(second=0, microsecond=0) + timedelta(minutes=1)


async def _opened(
    plane: ControlPlane, person: KubernetesUser, opens: Mapping[Key, datetime], bounds: Mapping[str, int]
) -> list[float]:
    """Give each tenant a window that opens then with these bounds, and wait until all have. Seconds of each write."""
    namespace, count = next(iter(opens)).namespace, len(opens)
    before = NIGHT if bounds == DAY else DAY

    async def change(key: Key) -> None:
        closes = opens[key] + timedelta(hours=2)
        window = {"name": "open", "start": f"{opens[key]:%H:%M}", "end": f"{closes:%H:%M}", **bounds}
        ref = Ref(f"{GROUP}/v1alpha1", "TTSTenant", key.namespace, key.name)
        await person.patch(ref, {"spec": {"schedule": {"default": before, "windows": [window]}}})

    await each(opens, change)
    await wait(lambda: _all_know(plane, opens))
    first, last = min(opens.values()), max(opens.values())
    if datetime.now(UTC) >= first:
        raise RuntimeError(f"{count} tenants took until after {first:%H:%M} to learn of it: the machine is too busy")
    await asyncio.sleep((last - datetime.now(UTC)).total_seconds())
    await wait(lambda: _all(plane, HPAS, namespace, count, **bounds))
    late: dict[str, float] = {}
    for write in writes_of(plane, "operator"):
        key = Key(namespace, write.name.removesuffix("-espeak"))
        if write.resource == HPAS and write.namespace == namespace and write.at >= opens[key]:
            late.setdefault(write.name, (write.at - opens[key]).total_seconds())
    if len(late) < count:
        raise RuntimeError(f"the audit log holds {len(late)} writes of {count}")
    return list(late.values())


async def wait(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition. It is checked seldom, because checks disturb the measurement. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await holds():  # noqa: ASYNC110 - a cluster sends no event for it
            await asyncio.sleep(LOOK_SECONDS)


async def _all(plane: ControlPlane, plural: str, namespace: str, count: int, **wanted: object) -> bool:
    """Whether this many objects have these values in their spec."""
    specs = [item["spec"] for item in await _listed(plane, plural, namespace)]
    return len(specs) == count and all(spec.get(name) == value for spec in specs for name, value in wanted.items())


async def _all_know(plane: ControlPlane, opens: Mapping[Key, datetime]) -> bool:
    """Whether each tenant's status names the instant as its next transition."""
    listed = await _listed(plane, "ttstenants", next(iter(opens)).namespace)
    known = {item["metadata"]["name"]: item.get("status", {}).get("nextTransition", {}).get("time") for item in listed}
    return all(known.get(key.name) == f"{at:%Y-%m-%dT%H:%M:%SZ}" for key, at in opens.items())


async def _listed(plane: ControlPlane, plural: str, namespace: str) -> list[dict[str, Any]]:
    found = json.loads(await asyncio.to_thread(plane.kubectl, "get", plural, "-n", namespace, "-o", "json"))
    items: list[dict[str, Any]] = found["items"]
    return items
