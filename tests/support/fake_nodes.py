"""Nodes without a machine, with devices that exist only in their status, and what kubelets would say of their pods."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.support.api_server import ApiServer
from tts_operator.cluster.client import JSON, MERGE, Request, collect
from tts_operator.cluster.errors import ClusterError
from tts_operator.objects.kinds import POD
from tts_operator.objects.manifest import Body, Ref

NODES = "/api/v1/nodes"
RESOURCES = "/apis/resource.k8s.io/v1"
HEARTBEAT_SECONDS = 5.0


@dataclass
class FakeNodes:
    """Nodes that stay Ready, and run every pod that the scheduler binds to them."""

    api: ApiServer
    names: list[str] = field(default_factory=list)
    starting: set[str] = field(default_factory=set)
    """Images whose containers do not become ready."""

    async def add(
        self,
        name: str,
        devices: Mapping[str, int] | None = None,
        labels: Mapping[str, str] | None = None,
        taints: Sequence[Body] = (),
    ) -> None:
        """A node with these extended resources."""
        amounts = {"cpu": "64", "memory": "256Gi", "pods": "500", "ephemeral-storage": "1Ti"}
        amounts |= {resource: str(count) for resource, count in (devices or {}).items()}
        body = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
            "spec": {"taints": list(taints)},
            "status": {"capacity": amounts, "allocatable": amounts, "conditions": [ready()]},
        }
        await self.api.user.post(NODES, body)
        self.names.append(name)

    async def offer(self, node: str, driver: str, devices: Sequence[str]) -> None:
        """A ResourceSlice with these devices, as the driver of a node writes it."""
        body = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {"name": f"{node}-devices"},
            "spec": {
                "driver": driver,
                "nodeName": node,
                "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
                "devices": [{"name": device} for device in devices],
            },
        }
        await self.api.user.post(f"{RESOURCES}/resourceslices", body)

    async def work(self) -> None:
        beat = 0.0
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(ClusterError):  # an object is gone, or the API server is busy: try again
                if loop.time() - beat > HEARTBEAT_SECONDS:
                    await self.heartbeat()
                    beat = loop.time()
                for pod in await collect(self.api.cluster.list(POD, self.api.namespace)):
                    if pod["spec"].get("nodeName") in self.names:
                        await self.attend(pod)
            await asyncio.sleep(0.1)

    async def heartbeat(self) -> None:
        for name in self.names:
            patch = {"status": {"conditions": [ready()]}}
            path = f"{NODES}/{name}/status"
            await self.api.user.cluster.send(Request("PATCH", path, {"fieldManager": "kubelet"}, patch, MERGE))

    async def attend(self, pod: Body) -> None:
        ref = Ref.of(POD, self.api.namespace, pod["metadata"]["name"])
        if "deletionTimestamp" in pod["metadata"]:
            body = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
            await self.api.user.cluster.send(
                Request("DELETE", f"/api/v1/namespaces/{ref.namespace}/pods/{ref.name}", {}, body, JSON)
            )
            return
        if (
            pod["spec"]["containers"][0]["image"] in self.starting
            or (pod.get("status") or {}).get("phase") == "Running"
        ):
            return
        since = datetime(2026, 1, 1, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": since}
        status = {
            "phase": "Running",
            "conditions": [scheduled, {"type": "Ready", "status": "True", "lastTransitionTime": since}],
        }
        await self.api.user.patch(ref, {"status": status}, "status")

    async def remove(self) -> None:
        for name in self.names:
            for path in (f"{NODES}/{name}", f"{RESOURCES}/resourceslices/{name}-devices"):
                with contextlib.suppress(ClusterError):
                    await self.api.user.cluster.send(Request("DELETE", path, {}, {}, JSON))


def ready() -> dict[str, Any]:
    """The condition that a kubelet repeats, with the time of now."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "lastHeartbeatTime": now,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


@asynccontextmanager
async def fake_nodes(api: ApiServer) -> AsyncIterator[FakeNodes]:
    found = FakeNodes(api)
    working = asyncio.create_task(found.work())
    try:
        yield found
    finally:
        working.cancel()
        await asyncio.wait({working})
        await found.remove()
