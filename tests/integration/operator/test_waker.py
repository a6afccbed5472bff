"""A tenant without replicas, a real operator and a real waker: requests at zero find somebody who answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml
from aiohttp import web

from hack.cluster.control_plane import ControlPlane
from tests.support.api_server import ApiServer, eventually, exists
from tests.support.kubelet import kubelet
from tests.support.operator_process import Operator, role, role_binding
from tests.support.resources import Object, tenant_body
from tests.support.waker_process import WakerProcess, own_address, port_range, standing_for_a_pod
from tts_operator.cluster.client import collect
from tts_operator.objects.kinds import ENDPOINT_SLICE
from tts_operator.objects.labels import tenant_labels
from tts_operator.waker.feed import SLICES

SERVICE = "waker-of-the-release"
PORTS = 4
SPEECH = "/v1/audio/speech"
pytestmark = pytest.mark.timeout(600)


def endpoints(api: ApiServer, name: str, service: str, address: str, port: int, **labels: str) -> Object:
    """An EndpointSlice with one ready endpoint."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": api.namespace,
            "labels": {
                "kubernetes.io/service-name": service,
                "endpointslice.kubernetes.io/managed-by": "a-test",
                **labels,
            },
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
    }


@dataclass
class Release:
    """An operator and a waker that know each other, for one namespace."""

    api: ApiServer
    waker: WakerProcess
    first_port: int

    async def port(self) -> int:
        """The port that the tenant's Service leads to."""
        found = await self.api.get("EndpointSlice", "acme--waker")
        (port,) = found["ports"]
        assert [each["addresses"] for each in found["endpoints"]] == [[own_address()]]
        return int(port["port"])

    async def leads_to_the_waker(self) -> bool:
        return await exists(self.api.cluster, self.api.ref("EndpointSlice", "acme--waker"))

    async def is_woken(self) -> bool:
        return (await self.api.status()).get("activeWindow") == "wake"


@pytest_asyncio.fixture
async def release(control_plane: ControlPlane, api: ApiServer, tmp_path: Path) -> AsyncIterator[Release]:
    control_plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all((role(), role_binding())))
    first_port = port_range(PORTS)
    flags = [
        f"--watch-namespaces={api.namespace}",
        "--lease-seconds=3",
        f"--waker-service={SERVICE}",
        f"--waker-first-port={first_port}",
        f"--waker-ports={PORTS}",
    ]
    await api.user.create(endpoints(api, "waker-1", SERVICE, own_address(), 9090))
    operator = Operator.start(control_plane, tmp_path, f"op-{api.namespace}", api.namespace, flags)
    waker = WakerProcess.start(
        control_plane,
        tmp_path,
        [f"--watch-namespaces={api.namespace}", f"--first-port={first_port}", f"--ports={PORTS}"],
    )
    try:
        await eventually(waker.ready, "the waker has listed everything")
        yield Release(api, waker, first_port)
    finally:
        waker.end()
        operator.end()


async def speaks(request: web.BaseRequest) -> web.StreamResponse:
    """Stands for a tenant's pod: answers with audio in two parts."""
    body = await request.read()
    response = web.StreamResponse(headers={"Content-Type": "audio/wav"})
    await response.prepare(request)
    await response.write(b"RIFF")
    await response.write(body)
    return response


async def test_a_hundred_requests_at_zero_wake_a_replica_and_none_of_them_fails(release: Release) -> None:
    """Given a tenant whose calendar has no replicas, when 100 requests come, a replica starts, and all are answered."""
    api = release.api
    name = await api.publish_model()
    schedule = {"default": {"minReplicas": 0}, "wakeOnRequest": True, "maxWaitSeconds": 120}
    await api.user.create(tenant_body(name, schedule=schedule, key=api.key()))
    await eventually(release.leads_to_the_waker, "the tenant's Service leads to the waker")
    port = await release.port()
    assert port in range(release.first_port, release.first_port + PORTS)
    await eventually(lambda: says(api, "Available", "False", "ScaledToZero"), "the status says so")
    assert (await api.status())["waker"]["port"] == port
    assert not await exists(api.cluster, api.ref("Deployment", f"acme-{name}"))
    first_audio: list[float] = []
    began = time.monotonic()

    async def call(http: httpx.AsyncClient, number: int) -> bool:
        url = f"http://127.0.0.1:{port}{SPEECH}"
        async with http.stream("POST", url, content=f"request {number}".encode()) as answer:
            audio = b""
            async for chunk in answer.aiter_raw():
                first_audio.append(time.monotonic() - began)
                audio += chunk
        return answer.status_code == 200 and audio == f"RIFFrequest {number}".encode()

    async with (
        standing_for_a_pod(speaks, own_address()) as pod,
        httpx.AsyncClient(timeout=180, limits=httpx.Limits(max_connections=None)) as http,
    ):
        calls = [asyncio.create_task(call(http, number)) for number in range(100)]
        await eventually(lambda: replicas(api, f"acme-{name}", 1), "the operator has started a replica")
        await eventually(release.is_woken, "the status says so")
        assert await release.leads_to_the_waker(), "until a pod is available"
        own = endpoints(api, "acme-pods", "acme", own_address(), pod, **tenant_labels("acme"))
        async with kubelet(api):
            await api.user.create(own)
            answered = await asyncio.gather(*calls)
            await eventually(lambda: no(release.leads_to_the_waker), "the Service leads to the pods alone")
    print(f"100 requests at zero: {answered.count(False)} failed, first audio after {min(first_audio):.2f} s")
    assert answered.count(False) == 0
    status = await api.status()
    assert status["nextTransition"]["window"] == "default"
    assert status["nextTransition"]["maxReplicas"] == 0
    assert status["waker"]["port"] == port, "it keeps its port"


async def test_nobody_wakes_a_tenant_that_does_not_allow_it_and_its_calendar_does(release: Release) -> None:
    """Given a tenant at zero without wakeOnRequest, a request gets a 503; its own calendar starts it, and stops it."""
    api = release.api
    name = await api.publish_model()
    windows = [{"name": "closed", "start": "00:00", "end": "24:00", "minReplicas": 0}]
    exceptions = [{"name": "later", "from": "2126-01-01", "to": "2126-01-02", "minReplicas": 1}]
    schedule = {
        "timeZone": "Europe/Berlin",
        "default": {"minReplicas": 1},
        "windows": windows,
        "exceptions": exceptions,
    }
    await api.user.create(tenant_body(name, schedule=schedule, key=api.key()))
    await eventually(release.leads_to_the_waker, "the tenant's Service leads to the waker")
    url = f"http://127.0.0.1:{await release.port()}{SPEECH}"
    await eventually(lambda: says(api, "Available", "False", "ScaledToZero"), "the status says so")
    async with httpx.AsyncClient(timeout=30) as http:
        answer = await http.post(url, content=b"{}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "scaled_to_zero")
    assert "wake" not in await api.status()
    async with kubelet(api):
        await api.user.patch(api.ref("TTSTenant", "acme"), {"spec": {"schedule": {"windows": None}}})
        await eventually(lambda: replicas(api, f"acme-{name}", 1), "it is day")
        await eventually(lambda: no(release.leads_to_the_waker), "the Service leads to the pods alone")
        await api.user.patch(api.ref("TTSTenant", "acme"), {"spec": {"schedule": {"windows": windows}}})
        await eventually(lambda: replicas(api, f"acme-{name}", 0), "it is night again")
        assert await release.leads_to_the_waker(), "before the pods are gone"
    autoscaler = await api.get("HorizontalPodAutoscaler", f"acme-{name}")
    assert (autoscaler["spec"]["minReplicas"], autoscaler["spec"]["maxReplicas"]) == (1, 1), "it stays"


async def test_the_slice_follows_the_waker_s_pods_and_comes_back_if_somebody_deletes_it(release: Release) -> None:
    api = release.api
    name = await api.publish_model()
    await api.user.create(tenant_body(name, schedule={"default": {"minReplicas": 0}}, key=api.key()))
    await eventually(release.leads_to_the_waker, "the tenant's Service leads to the waker")
    port = await release.port()
    await api.user.delete(api.ref("EndpointSlice", "acme--waker"))
    await eventually(release.leads_to_the_waker, "it is there again")
    assert await release.port() == port
    moved = {"endpoints": [{"addresses": ["10.11.12.13"], "conditions": {"ready": True}}]}
    await api.user.patch(api.ref("EndpointSlice", "waker-1"), moved)

    async def follows() -> bool:
        found = await api.get("EndpointSlice", "acme--waker")
        return bool(found["endpoints"][0]["addresses"] == ["10.11.12.13"])

    await eventually(follows, "the slice has the new address")


async def test_slices_of_the_endpoint_slice_controller_have_the_labels_by_which_the_waker_finds_pods(
    release: Release,
) -> None:
    """And the operator, which reads its own alone, never takes them for its children."""
    api = release.api
    await api.user.create(tenant_body(await api.publish_model(), key=api.key()))

    async def made_by_the_controller() -> bool:
        found = await collect(api.cluster.list(ENDPOINT_SLICE, api.namespace, SLICES))
        services = {each["metadata"]["labels"]["kubernetes.io/service-name"] for each in found}
        return services == {"acme"}

    await eventually(made_by_the_controller, "those of the tenant's Service, and of no pool's and no peers'")
    assert [ref for ref in await api.children() if ref.kind == "EndpointSlice"] == []


async def says(api: ApiServer, type_: str, status: str, reason: str) -> bool:
    found = await api.condition(type_)
    return (found.get("status"), found.get("reason")) == (status, reason)


async def replicas(api: ApiServer, deployment: str, count: int) -> bool:
    found = await api.cluster.get(api.ref("Deployment", deployment))
    return found is not None and bool(found["spec"]["replicas"] == count)


async def no(holds: Any) -> bool:
    return not await holds()
