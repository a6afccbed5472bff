"""Measures `tts-operator run` beside py-kube-downscaler on the same calendars, one after the other, on a real API
server on the same machine, without nodes: windows of all tenants, or downtimes of as many Deployments, begin in one
second. py-kube-downscaler looks at everything every 30 s, its default. It is not on PyPI: `DOWNSCALER_PYTHON` names an
interpreter that can run `python -m kube_downscaler`.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.figures import Figure, percentile
from bench.operators import administrator, control_plane
from bench.process_costs import cpu_seconds, resident_bytes
from bench.transitions import lateness, wait
from hack.cluster.control_plane import ControlPlane
from tests.support.api_server import KubernetesUser, eventually
from tests.support.control_planes import apply
from tests.support.operator_process import Operator, requests_of, role, role_binding, writes_of
from tests.support.resources import model_body

COUNT = int(os.environ.get("CALENDARS", "200"))
PYTHON = os.environ.get("DOWNSCALER_PYTHON", "")
SYSTEM, OURS, THEIRS = "ttsfleet-system", "team-ours", "team-theirs"
DOWNSCALER = "downscaler"
IDLE_SECONDS = 60.0
"""Two rounds of the downscaler."""
DEPLOYMENTS = "deployments"
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Idle:
    """Costs while nothing is due."""

    cpu_milliseconds: float
    requests: float
    memory_bytes: int


async def measure() -> list[Figure]:
    if not PYTHON:
        raise RuntimeError("set DOWNSCALER_PYTHON to an interpreter that has kube_downscaler of py-kube-downscaler")
    with control_plane(audit_reads=True) as plane, tempfile.TemporaryDirectory() as folder:
        apply(plane, role(), role_binding())
        async with administrator(SYSTEM, OURS, THEIRS) as person:
            return [
                *await _of_ours(plane, person, Path(folder)),
                *await _of_theirs(plane, person, Path(folder)),
            ]


async def _of_ours(plane: ControlPlane, person: KubernetesUser, folder: Path) -> list[Figure]:
    await person.create(model_body())
    operator = Operator.start(plane, folder, "operator", SYSTEM)
    try:
        await eventually(lambda: _is_ready(operator), "the operator is ready", 60)
        late = await lateness(plane, person, OURS, COUNT)
        idle = await _idle(plane, operator.user, operator.process.pid)
    finally:
        operator.end()
    return _figures("tts-operator", late, idle)


async def _of_theirs(plane: ControlPlane, person: KubernetesUser, folder: Path) -> list[Figure]:
    begins = (datetime.now(UTC) + timedelta(seconds=30 + COUNT / 10)).replace(second=0, microsecond=0)
    begins += timedelta(minutes=1)
    for number in range(COUNT):
        await person.post(f"/apis/apps/v1/namespaces/{THEIRS}/{DEPLOYMENTS}", _deployment(f"speech-{number}", begins))
    with _downscaler(plane, folder) as process:
        await asyncio.sleep(max(0.0, (begins - datetime.now(UTC)).total_seconds()))
        await wait(lambda: _all_are_down(plane))
        idle = await _idle(plane, DOWNSCALER, process.pid)
    writes = [each for each in writes_of(plane, DOWNSCALER) if each.resource == DEPLOYMENTS and each.at >= begins]
    return _figures("py-kube-downscaler", [(write.at - begins).total_seconds() for write in writes], idle)


@contextmanager
def _downscaler(plane: ControlPlane, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    kubeconfig = plane.kubeconfig_for(DOWNSCALER, DOWNSCALER, "system:masters")
    command = [*shlex.split(PYTHON), "-m", "kube_downscaler", f"--namespace={THEIRS}", "--grace-period=0"]
    with (folder / "downscaler.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--downtime-replicas=1"],
            env={**os.environ, "KUBECONFIG": str(kubeconfig)},
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _deployment(name: str, begins: datetime) -> dict[str, object]:
    """Three replicas, and one from this minute on for two hours."""
    labels = {"app": name}
    ends = begins + timedelta(hours=2)
    downtime = f"{begins:%Y-%m-%dT%H:%M:%S}+00:00-{ends:%Y-%m-%dT%H:%M:%S}+00:00"
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "annotations": {"downscaler/downtime": downtime}},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "server", "image": "example.invalid/tts-server:1"}]},
            },
        },
    }


async def _idle(plane: ControlPlane, user: str, pid: int) -> Idle:
    cpu, requests = cpu_seconds(pid), requests_of(plane, user)
    await asyncio.sleep(IDLE_SECONDS)
    return Idle(
        (cpu_seconds(pid) - cpu) / IDLE_SECONDS * 1e3,
        (requests_of(plane, user) - requests) / IDLE_SECONDS,
        resident_bytes(pid),
    )


def _figures(who: str, late: list[float], idle: Idle) -> list[Figure]:
    calendars = f"{COUNT} calendars"
    return [
        Figure(f"{who}: lateness, P50", percentile(late, 50), "s", calendars),
        Figure(f"{who}: lateness, last", max(late), "s", calendars),
        Figure(f"{who}: requests while nothing is due", idle.requests, "/s", calendars),
        Figure(f"{who}: CPU while nothing is due", idle.cpu_milliseconds, "ms/s", calendars),
        Figure(f"{who}: memory", idle.memory_bytes / MEBIBYTE, "MiB", calendars),
    ]


async def _is_ready(operator: Operator) -> bool:
    return operator.ready()


async def _all_are_down(plane: ControlPlane) -> bool:
    listed = await asyncio.to_thread(plane.kubectl, "get", DEPLOYMENTS, "-n", THEIRS, "-o", "json")
    return all(item["spec"]["replicas"] == 1 for item in json.loads(listed)["items"])
