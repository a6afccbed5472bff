"""GPUs that exist only in the status of nodes: the real scheduler places pods, counts quotas and allocates devices."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.api_server import CLOCK, SETTINGS, ApiServer, eventually
from tests.support.fake_nodes import FakeNodes, fake_nodes
from tests.support.resources import Object, precision, tenant_body
from tts_operator.cluster.client import Request, collect
from tts_operator.controller.reconcile_tenant import ReconcileContext, reconcile
from tts_operator.objects.kinds import POD
from tts_operator.objects.labels import MODEL_LABEL, POOL_LABEL
from tts_operator.objects.manifest import Body
from tts_operator.rollout import update_strategy

pytestmark = pytest.mark.timeout(600)
TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
PRODUCT = {"nvidia.com/gpu.product": "NVIDIA-L4"}
PLACEMENT = {
    "nodeSelector": PRODUCT,
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
}
OPEN = {"modes": ["None"]}
GPU, SLICE, SHARED = "nvidia.com/gpu", "nvidia.com/mig-1g.10gb", "nvidia.com/gpu.shared"


async def reconciled_until(api: ApiServer, holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """Reconcile, as after every event of a child, until it holds."""

    async def done() -> bool:
        await reconcile(api.key(), ReconcileContext(api.cluster, SETTINGS, CLOCK))
        return await holds()

    await eventually(done, what, within_seconds=240, poll_seconds=0.3)


async def pods_of(api: ApiServer, model: str) -> list[Body]:
    found = await collect(api.cluster.list(POD, api.namespace))
    return [
        each
        for each in found
        if each["metadata"]["labels"].get(MODEL_LABEL) == model and "deletionTimestamp" not in each["metadata"]
    ]


async def nodes_of(api: ApiServer, model: str) -> list[str]:
    return sorted(each["spec"].get("nodeName", "") for each in await pods_of(api, model))


async def gpu_model(api: ApiServer, resource: str = GPU, **spec: Any) -> str:
    precisions = [precision("fp16", **{resource: "1"})]
    return await api.publish_model(**{"precisions": precisions, "accelerator": PLACEMENT, **spec})


async def ready(api: ApiServer) -> tuple[str, str, str]:
    found = await api.condition("Ready")
    return (found.get("status", ""), found.get("reason", ""), found.get("message", ""))


async def gpu_nodes(api: ApiServer, nodes: FakeNodes, devices: Object, count: int = 1) -> list[str]:
    """Nodes with GPUs of one product, and one with GPUs of another, and one without."""
    await nodes.add(f"{api.namespace}-cpu")
    await nodes.add(f"{api.namespace}-other", devices, {"nvidia.com/gpu.product": "NVIDIA-T4"}, [TAINT])
    names = [f"{api.namespace}-gpu-{number}" for number in range(count)]
    for name in names:
        await nodes.add(name, devices, PRODUCT, [TAINT])
    return names


@pytest.mark.parametrize("resource", [GPU, SLICE, SHARED], ids=["whole", "MIG", "shared"])
async def test_pods_are_placed_where_the_device_is(api: ApiServer, resource: str) -> None:
    async with fake_nodes(api) as nodes:
        (name,) = await gpu_nodes(api, nodes, {resource: 2})
        model = await gpu_model(api, resource)
        schedule = {"default": {"minReplicas": 2}}
        await api.user.create(tenant_body(model, key=api.key(), auth=OPEN, schedule=schedule))

        async def placed() -> bool:
            return await nodes_of(api, model) == [name, name] and (await ready(api))[0] == "True"

        await reconciled_until(api, placed, "both pods have a device of the right node")


async def test_a_gpu_model_speaks_through_its_fallback_until_it_has_a_gpu(api: ApiServer) -> None:
    async with fake_nodes(api) as nodes:
        await nodes.add(f"{api.namespace}-cpu")
        small = await api.publish_model()
        model = await gpu_model(api, fallback={"modelRef": {"name": small}})
        await api.user.create(tenant_body(model, key=api.key(), auth=OPEN))

        async def selects(name: str) -> bool:
            service = await api.get("Service", "acme")
            return bool(service["spec"]["selector"][POOL_LABEL] == f"acme-{name}")

        await reconciled_until(api, lambda: selects(small), "the fallback is the entry")

        async def told() -> bool:
            status, reason, message = await ready(api)
            return (
                (status, reason) == ("False", "WaitingForAccelerator")
                and "spec.accelerator" in message
                and f"requests are served by fallback {small}" in message
            )

        await reconciled_until(api, told, "the condition says what it waits for, and who answers")
        await nodes.add(f"{api.namespace}-gpu", {GPU: 1}, PRODUCT, [TAINT])

        async def back() -> bool:
            return await selects(model) and (await ready(api))[0] == "True"

        await reconciled_until(api, back, "the model answers itself")


async def test_a_full_quota_of_gpus_is_named(api: ApiServer) -> None:
    async with fake_nodes(api) as nodes:
        await gpu_nodes(api, nodes, {GPU: 4})
        quota = {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "gpus"},
            "spec": {"hard": {f"requests.{GPU}": "2"}},
        }
        path = f"/api/v1/namespaces/{api.namespace}/resourcequotas"
        await api.user.post(path, quota)

        async def counted() -> bool:
            found = await api.cluster.send(Request("GET", f"{path}/gpus"))
            return "hard" in (found.get("status") or {})

        await eventually(counted, "the quota is enforced")
        model = await gpu_model(api)
        await api.user.create(tenant_body(model, key=api.key(), auth=OPEN, schedule={"default": {"minReplicas": 3}}))

        async def told() -> bool:
            status, reason, message = await ready(api)
            return (status, reason) == ("False", "QuotaExceeded") and f"requests.{GPU}" in message

        await reconciled_until(api, told, "the condition names the resource of the quota")
        assert "used: requests.nvidia.com/gpu=2, limited: requests.nvidia.com/gpu=2" in (await ready(api))[2]
        assert len(await pods_of(api, model)) == 2


async def test_pods_are_replaced_in_place_when_every_gpu_is_taken(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(update_strategy, "SURGE_TIMEOUT", update_strategy.SURGE_TIMEOUT * 0)
    async with fake_nodes(api) as nodes:
        await gpu_nodes(api, nodes, {GPU: 2})
        model = await gpu_model(api, image="example.invalid/gpu:1")
        await api.user.create(tenant_body(model, key=api.key(), auth=OPEN, schedule={"default": {"minReplicas": 2}}))

        async def all_run(image: str) -> bool:
            found = await pods_of(api, model)
            return [each["spec"]["containers"][0]["image"] for each in found] == [image] * 2 and (await ready(api))[
                :2
            ] == ("True", "AsSpecified")

        await reconciled_until(api, lambda: all_run("example.invalid/gpu:1"), "both GPUs are taken")
        await api.user.patch(api.ref("TTSModel", model), {"spec": {"image": "example.invalid/gpu:2"}})
        await reconciled_until(api, lambda: all_run("example.invalid/gpu:2"), "each pod was replaced on its GPU")


async def test_the_scheduler_allocates_a_device_of_the_class(api: ApiServer) -> None:
    driver = f"{api.namespace}.gpu.example"
    path = "/apis/resource.k8s.io/v1"
    device_class = {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": driver}}
    selector = {"cel": {"expression": f"device.driver == '{driver}'"}}
    await api.user.post(f"{path}/deviceclasses", {**device_class, "spec": {"selectors": [selector]}})
    async with fake_nodes(api) as nodes:
        small = await api.publish_model()
        await nodes.add(f"{api.namespace}-cpu")
        name = f"{api.namespace}-dra"
        await nodes.add(name, labels=PRODUCT, taints=[TAINT])
        await nodes.offer(name, driver, ["gpu-0", "gpu-1"])
        model = await api.publish_model(
            accelerator={**PLACEMENT, "deviceClassName": driver}, fallback={"modelRef": {"name": small}}
        )
        await api.user.create(tenant_body(model, key=api.key(), auth=OPEN, schedule={"default": {"minReplicas": 2}}))

        async def allocated() -> list[str]:
            claims = await api.cluster.send(Request("GET", f"{path}/namespaces/{api.namespace}/resourceclaims"))
            results = [
                ((each.get("status") or {}).get("allocation") or {}).get("devices", {}).get("results", [])
                for each in claims["items"]
            ]
            return sorted(device["device"] for found in results for device in found)

        async def both() -> bool:
            return await allocated() == ["gpu-0", "gpu-1"] and (await ready(api))[0] == "True"

        await reconciled_until(api, both, "each pod has a device of its own")
        assert await nodes_of(api, model) == [name, name]

        patch = {"spec": {"schedule": {"default": {"minReplicas": 3}}}}
        await api.user.patch(api.ref("TTSTenant", "acme"), patch)

        async def told() -> bool:
            status, reason, message = await ready(api)
            return (status, reason) == ("False", "WaitingForAccelerator") and "other pods keep serving" in message

        await reconciled_until(api, told, "the third pod waits for a device, and the condition says so")


async def test_the_only_gpu_changes_hands_while_the_fallback_answers(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(update_strategy, "SURGE_TIMEOUT", update_strategy.SURGE_TIMEOUT * 0)
    async with fake_nodes(api) as nodes:
        await gpu_nodes(api, nodes, {GPU: 1})
        small = await api.publish_model()
        model = await gpu_model(api, image="example.invalid/gpu:1", fallback={"modelRef": {"name": small}})
        await api.user.create(tenant_body(model, key=api.key(), auth=OPEN))
        entries: list[str] = []
        watched: list[bool] = []

        async def runs(image: str) -> bool:
            pool = (await api.get("Service", "acme"))["spec"]["selector"][POOL_LABEL]
            entries.append(pool)
            if watched:
                status = (await api.get("Deployment", pool)).get("status") or {}
                assert status.get("availableReplicas", 0) > 0, f"callers find no pod of {pool}"
            images = [each["spec"]["containers"][0]["image"] for each in await pods_of(api, model)]
            return images == [image] and pool == f"acme-{model}" and (await ready(api))[0] == "True"

        await reconciled_until(api, lambda: runs("example.invalid/gpu:1"), "the GPU has a pod")

        async def fallback_is_ready() -> bool:
            return bool(((await api.get("Deployment", f"acme-{small}")).get("status") or {}).get("availableReplicas"))

        await reconciled_until(api, fallback_is_ready, "the fallback has one, too")
        watched.append(True)
        await api.user.patch(api.ref("TTSModel", model), {"spec": {"image": "example.invalid/gpu:2"}})
        await reconciled_until(api, lambda: runs("example.invalid/gpu:2"), "the GPU has the new pod")
        assert f"acme-{small}" in entries, "the fallback answered meanwhile"
