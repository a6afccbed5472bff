"""Lets every pod of the operator's tenants run, in all namespaces, on a control plane without nodes and scheduler."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp

from hack.cluster.control_plane import ControlPlane
from tts_operator.objects.labels import MANAGED

PODS = "/api/v1/pods"
WRITERS = 4
AGAIN_SECONDS = 0.5
WATCH_SECONDS = 60
MERGE = "application/merge-patch+json"
CONDITIONS = ("PodScheduled", "Initialized", "ContainersReady", "Ready")


@dataclass
class PodsThatRun:
    """One watch over all pods, and a few writers of their statuses."""

    server: str
    session: aiohttp.ClientSession
    due: asyncio.Queue[tuple[str, str]] = field(default_factory=asyncio.Queue)

    async def work(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            for _ in range(WRITERS):
                group.create_task(self._write())

    async def _watch(self) -> None:
        """List, and watch from there; again after any trouble, for the API server may be down."""
        while True:
            try:
                version = await self._list()
                query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": str(WATCH_SECONDS)}
                timeout = aiohttp.ClientTimeout(total=WATCH_SECONDS + 10)
                async with self.session.get(
                    self.server + PODS, params=query | {"labelSelector": MANAGED}, timeout=timeout
                ) as answer:
                    async for line in answer.content:
                        event = json.loads(line)
                        if event["type"] in {"ADDED", "MODIFIED"}:
                            self._look_at(event["object"])
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError):
                await asyncio.sleep(AGAIN_SECONDS)

    async def _list(self) -> str:
        async with self.session.get(self.server + PODS, params={"labelSelector": MANAGED}) as answer:
            listed = await answer.json()
        for pod in listed["items"] or ():
            self._look_at(pod)
        return str(listed["metadata"]["resourceVersion"])

    def _look_at(self, pod: dict[str, Any]) -> None:
        if (pod.get("status") or {}).get("phase") != "Running" and "deletionTimestamp" not in pod["metadata"]:
            self.due.put_nowait((pod["metadata"]["namespace"], pod["metadata"]["name"]))

    async def _write(self) -> None:
        while True:
            namespace, name = await self.due.get()
            url = f"{self.server}/api/v1/namespaces/{namespace}/pods/{name}/status"
            body = json.dumps({"status": running()}).encode()
            try:
                async with self.session.patch(url, data=body, headers={"Content-Type": MERGE}) as answer:
                    failed = answer.status >= 429
            except (aiohttp.ClientError, TimeoutError, OSError):
                failed = True
            if failed:
                await asyncio.sleep(AGAIN_SECONDS)
                self.due.put_nowait((namespace, name))


def running() -> dict[str, Any]:
    """Status of a pod that has been ready for a minute."""
    since = (datetime.now(UTC) - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = [{"type": type_, "status": "True", "lastTransitionTime": since} for type_ in CONDITIONS]
    return {"phase": "Running", "startTime": since, "conditions": conditions}


@asynccontextmanager
async def pods_that_run(plane: ControlPlane) -> AsyncIterator[PodsThatRun]:
    """Let pods run until the block ends. The scheduler, which would say that there is no node, has to be stopped."""
    client = plane.authority.issue("kubelet-of-tests", "kubelet-of-tests", groups=("system:masters",))
    tls = ssl.create_default_context(cafile=plane.authority.pair.certificate)
    tls.load_cert_chain(client.certificate, client.key)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls, limit=0)) as session:
        pods = PodsThatRun(plane.server, session)
        working = asyncio.create_task(pods.work())
        try:
            yield pods
        finally:
            working.cancel()
            await asyncio.wait({working})
