"""Routes on a real API server that has the CRDs of the Gateway API, and what becomes of two tenants with one name."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from hack.cluster.control_plane import ControlPlane
from hack.cluster.sources import gateway_api_crd
from tests.support.api_server import CLOCK, SETTINGS, ApiServer, eventually, exists
from tests.support.operator_process import Operator, role, role_binding
from tests.support.resources import Object, tenant_body
from tts_operator.controller.reconcile_tenant import ReconcileContext, reconcile
from tts_operator.informer.add_ons import AddOns
from tts_operator.informer.reader import LiveReader
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import HTTP_ROUTE, AddOn
from tts_operator.resolve.hostname_table import HostnameTable
from tts_operator.settings import ExposureSettings

GATEWAY = {"gateway": {"name": "public", "namespace": "gateways"}}
REF = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "gateways"}
ADD_ONS = frozenset({AddOn.GATEWAY_API, AddOn.INGRESS})
EXPOSED = replace(
    SETTINGS,
    exposure=ExposureSettings(
        gateways=("gateways/public/https",),
        ingress_classes=("nginx",),
        ingress_annotations={"nginx.ingress.kubernetes.io/proxy-buffering": "off"},
        hostnames=("{tenant}-{namespace}.speech.example", "*.voices.example"),
    ),
)
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", autouse=True)
def gateway_api(control_plane: ControlPlane, kubeconfig: Path) -> None:
    control_plane.kubectl("apply", "--server-side", "-f", str(gateway_api_crd("httproutes")))
    control_plane.wait_established("httproutes.gateway.networking.k8s.io")


async def reconciled(api: ApiServer, hostnames: HostnameTable | None = None, key: Key | None = None) -> None:
    """One reconcile by an operator with both add-ons."""
    reader = LiveReader(api.cluster, AddOns(ADD_ONS, ADD_ONS))
    table = hostnames or HostnameTable()
    await reconcile(key or api.key(), ReconcileContext(api.cluster, EXPOSED, CLOCK, reader=reader, hostnames=table))


async def condition(api: ApiServer) -> tuple[str, str]:
    found = await api.condition("Exposed")
    return found["status"], found["reason"]


async def report(api: ApiServer, kind: str, status: Mapping[str, Any]) -> None:
    """Write the status of a route, as its controller does."""
    await api.user.patch(api.ref(kind, "acme"), {"status": status}, "status")


def at_gateway(generation: int, **conditions: tuple[str, str]) -> Object:
    """The status of an HTTPRoute at the Gateway; `conditions` by type: status and reason."""
    listed = [
        {
            "type": type_,
            "status": status,
            "reason": reason,
            "message": f"the gateway says {reason}",
            "lastTransitionTime": "2026-11-30T00:00:00Z",
            "observedGeneration": generation,
        }
        for type_, (status, reason) in conditions.items()
    ]
    return {"parents": [{"parentRef": REF, "controllerName": "example.com/gateway", "conditions": listed}]}


async def test_an_http_route_as_the_api_server_keeps_it_needs_no_second_write(
    api: ApiServer, control_plane: ControlPlane
) -> None:
    model = await api.publish_model()
    await api.user.create(tenant_body(model, exposure=GATEWAY, key=api.key()))
    await reconciled(api)
    assert await condition(api) == ("False", "WaitingForGateway")
    route = await api.get("HTTPRoute", "acme")
    hostname = f"acme-{api.namespace}.speech.example"
    assert route["spec"]["hostnames"] == [hostname]
    assert route["spec"]["rules"][0]["timeouts"] == {"request": "0s", "backendRequest": "0s"}
    good = {"Accepted": ("True", "Accepted"), "ResolvedRefs": ("True", "ResolvedRefs")}
    await report(api, "HTTPRoute", at_gateway(1, **good))
    await reconciled(api)
    assert await condition(api) == ("True", "AsSpecified")
    before = len([each for each in api.writes if "httproutes" in str(each)])
    await reconciled(api)
    assert len([each for each in api.writes if "httproutes" in str(each)]) == before
    assert (await api.get("HTTPRoute", "acme"))["metadata"]["generation"] == 1
    printed = control_plane.kubectl("get", "ttst", "acme", "-n", api.namespace)
    assert f"https://{hostname}" in printed
    await report(api, "HTTPRoute", at_gateway(1, Accepted=("False", "NoMatchingListenerHostname")))
    await reconciled(api)
    assert await condition(api) == ("False", "NoMatchingListenerHostname")
    assert "the gateway says" in (await api.condition("Exposed"))["message"]


async def test_a_tenant_goes_from_a_gateway_to_an_ingress_and_back_inside(api: ApiServer) -> None:
    model = await api.publish_model()
    await api.user.create(tenant_body(model, exposure=GATEWAY, key=api.key()))
    await reconciled(api)
    tenant = api.ref("TTSTenant", "acme")
    await api.user.patch(tenant, {"spec": {"exposure": {"gateway": None, "ingress": {}}}})
    await reconciled(api)
    assert not await exists(api.cluster, api.ref("HTTPRoute", "acme"))
    ingress = await api.get("Ingress", "acme")
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert await condition(api) == ("False", "WaitingForIngressController")
    await report(api, "Ingress", {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}})
    await reconciled(api)
    assert await condition(api) == ("True", "AsSpecified")
    await reconciled(api)
    assert (await api.get("Ingress", "acme"))["metadata"]["generation"] == 1
    await api.user.patch(tenant, {"spec": {"exposure": None}})
    await reconciled(api)
    assert not await exists(api.cluster, api.ref("Ingress", "acme"))
    assert await api.condition("Exposed") == {}
    assert "publicURL" not in await api.status()
    assert "hostname" not in await api.status()


async def test_of_two_tenants_with_one_host_name_the_first_has_it(api: ApiServer) -> None:
    model, table = await api.publish_model(), HostnameTable()
    exposure = {**GATEWAY, "hostname": f"{api.namespace}.voices.example"}
    for name in ("acme", "blue"):
        await api.user.create(tenant_body(model, exposure=exposure, key=api.key(name)))
        await reconciled(api, table, api.key(name))
    assert (await api.status())["hostname"] == exposure["hostname"]
    second = await api.condition("Exposed", "blue")
    assert (second["status"], second["reason"]) == ("False", "HostnameTaken")
    assert "acme" not in json.dumps(await api.status("blue")), "the first one's objects are not named"
    assert not await exists(api.cluster, api.ref("HTTPRoute", "blue"))
    await api.user.patch(api.ref("TTSTenant", "acme"), {"spec": {"exposure": None}})
    for name in ("acme", "blue"):
        await reconciled(api, table, api.key(name))
    assert (await api.get("HTTPRoute", "blue"))["spec"]["hostnames"] == [exposure["hostname"]]


@pytest_asyncio.fixture
async def operator(control_plane: ControlPlane, api: ApiServer, tmp_path: Path) -> AsyncIterator[Operator]:
    """An operator with nothing but its own role."""
    control_plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all((role(), role_binding())))
    flags = [
        f"--watch-namespaces={api.namespace}",
        "--lease-seconds=3",
        "--add-ons=gatewayAPI,ingress",
        "--exposure-gateways=gateways/public/https",
        "--exposure-hostnames={tenant}-{namespace}.speech.example,*.voices.example",
    ]
    running = Operator.start(control_plane, tmp_path, f"op-{api.namespace}", api.namespace, flags)
    yield running
    running.end()


@pytest.mark.usefixtures("operator")
async def test_a_running_operator_follows_what_the_gateway_reports(api: ApiServer) -> None:
    model = await api.publish_model()
    await api.user.create(tenant_body(model, exposure=GATEWAY, key=api.key()))

    async def is_written() -> bool:
        return await exists(api.cluster, api.ref(HTTP_ROUTE.name, "acme"))

    async def is_exposed() -> bool:
        return (await api.condition("Exposed")).get("status") == "True"

    await eventually(is_written, "the route is written", 120)
    good = {"Accepted": ("True", "Accepted"), "ResolvedRefs": ("True", "ResolvedRefs")}
    await report(api, "HTTPRoute", at_gateway(1, **good))
    await eventually(is_exposed, "the operator has heard of it", 60)
    assert (await api.status())["publicURL"] == f"https://acme-{api.namespace}.speech.example"
