"""Statuses of pods as a kubelet would report them, on a control plane without nodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.api_server import ApiServer
from tts_operator.cluster.client import collect
from tts_operator.cluster.errors import ClusterError
from tts_operator.objects.kinds import POD
from tts_operator.objects.manifest import Body, Ref
from tts_server.config.schema import MODEL_EXIT_CODE

SCHEDULED = {"type": "PodScheduled", "status": "True"}
NOT_RUNNING = frozenset({"fails", "ends"})


@dataclass
class Kubelet:
    """Says of the namespace's pods what a kubelet would: there is no node. Deployments follow by their controller."""

    api: ApiServer
    fate: dict[str, str] = field(default_factory=dict)
    """By image: runs, starts (for ever), fails or ends; an image that is not in it runs."""
    words: str = "the engine does not start: heart.onnx is not an ONNX graph"
    """Termination message of servers that end."""

    async def work(self) -> None:
        while True:
            for pod in await collect(self.api.cluster.list(POD, self.api.namespace)):
                fate = self.fate.get(image_of(pod["spec"]), "runs")
                if fate == "starts" and "Ready" in true_conditions(pod):
                    fate = "runs"  # it has started before
                if not told(pod, fate):
                    await self.tell(pod, fate)
            await asyncio.sleep(0.1)

    async def tell(self, pod: Body, fate: str) -> None:
        since = (datetime.now(UTC) - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        status: dict[str, Any] = {
            "phase": "Running",
            "conditions": [SCHEDULED, {"type": "Ready", "status": "True", "lastTransitionTime": since}],
        }
        if fate == "starts":
            status = {"phase": "Pending", "conditions": [SCHEDULED]}
        if fate in NOT_RUNNING:
            ended = {"exitCode": MODEL_EXIT_CODE, "reason": "Error", "message": self.words}
            states: dict[str, Body] = {
                "fails": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
                "ends": {"terminated": {**ended, "startedAt": since, "finishedAt": since}},
            }
            container = {"name": "tts-server", "image": "", "imageID": "", "ready": False, "restartCount": 0}
            status = {"phase": "Pending", "containerStatuses": [{**container, "state": states[fate]}]}
        try:
            ref = Ref.of(POD, self.api.namespace, pod["metadata"]["name"])
            await self.api.user.patch(ref, {"status": status}, "status")
        except ClusterError:
            return  # it is gone


def told(pod: Body, fate: str) -> bool:
    """Whether its status is that of its fate. The scheduler finds no node, and says so again and again."""
    has_containers = bool((pod.get("status") or {}).get("containerStatuses"))
    if fate in NOT_RUNNING or has_containers:
        return has_containers
    return true_conditions(pod) >= ({"PodScheduled"} if fate == "starts" else {"PodScheduled", "Ready"})


def true_conditions(pod: Body) -> set[str]:
    status = pod.get("status") or {}
    return {each["type"] for each in status.get("conditions") or () if each["status"] == "True"}


def image_of(spec: Mapping[str, Any]) -> str:
    return str(spec["containers"][0]["image"])


@asynccontextmanager
async def kubelet(api: ApiServer) -> AsyncIterator[Kubelet]:
    found = Kubelet(api)
    working = asyncio.create_task(found.work())
    try:
        yield found
    finally:
        working.cancel()
        await asyncio.wait({working})
