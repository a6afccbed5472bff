"""A real waker process with the permissions of the chart, and servers that stand for tenants' pods."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from aiohttp import web

from hack.cluster.binaries import ROOT
from hack.cluster.control_plane import ControlPlane
from tests.support.operator_process import free_ports

WAKERS = "ttsfleet-wakers"
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def waker_rules() -> list[dict[str, Any]]:
    """The permissions that the chart gives the waker."""
    text = (ROOT / "charts" / "ttsfleet" / "templates" / "_policies.tpl").read_text()
    found = re.search(r'define "ttsfleet.wakerRules" -}}\n(.*?)\{\{- end', text, re.DOTALL)
    assert found is not None
    rules: list[dict[str, Any]] = yaml.safe_load(found[1])
    return rules


def waker_role() -> list[dict[str, Any]]:
    """Exactly what the waker may do: the tests run with nothing more."""
    group = "rbac.authorization.k8s.io"
    return [
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": WAKERS},
            "rules": waker_rules(),
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": WAKERS},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": WAKERS},
            "subjects": [{"apiGroup": group, "kind": "Group", "name": WAKERS}],
        },
    ]


def port_range(count: int) -> int:
    """The first of so many free ports in a row."""
    for first in range(21_000, 32_000, count):
        sockets: list[socket.socket] = []
        try:
            sockets += [socket.create_server(("", port)) for port in range(first, first + count)]
        except OSError:
            continue
        finally:
            for each in sockets:
                each.close()
        return first
    raise AssertionError(f"no {count} free ports in a row")


def own_address() -> str:
    """An address of this machine that is no loopback: an EndpointSlice takes no other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("10.255.255.255", 1))  # sends nothing
        return str(probe.getsockname()[0])


@dataclass
class WakerProcess:
    """One `tts-operator waker`."""

    health_port: int
    metrics_port: int
    log: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, plane: ControlPlane, folder: Path, flags: Sequence[str]) -> WakerProcess:
        """Begin; it is not ready yet."""
        plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(waker_role()))
        health_port, metrics_port = free_ports(2)
        log = folder / "waker.log"
        command = [
            *(sys.executable, "-m", "tts_operator.cli.main", "waker"),
            f"--health-port={health_port}",
            f"--metrics-port={metrics_port}",
            *flags,
        ]
        kubeconfig = plane.kubeconfig_for("waker", "waker", WAKERS)
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, env={**os.environ, "KUBECONFIG": str(kubeconfig)}, stdout=output, stderr=output
            )
        return cls(health_port, metrics_port, log, process)

    async def ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()[-4000:]
        try:
            async with httpx.AsyncClient() as client:
                answer = await client.get(f"http://127.0.0.1:{self.health_port}/readyz")
        except httpx.TransportError:
            return False
        return answer.status_code == 200

    def end(self) -> None:
        """Whatever it does, it is gone after this."""
        self.process.kill()
        self.process.wait()


@asynccontextmanager
async def standing_for_a_pod(handler: Handler, address: str = "127.0.0.1") -> AsyncIterator[int]:
    """An HTTP server at a free port, which stands for a tenant's pod."""
    server = web.Server(handler, handler_cancellation=True)
    listening = await asyncio.get_running_loop().create_server(server, address, 0)
    try:
        yield int(listening.sockets[0].getsockname()[1])
    finally:
        listening.close()
        await server.shutdown(1)
