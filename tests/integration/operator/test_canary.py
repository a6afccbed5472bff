"""A model's change reaches one of four tenants first; the others follow after the soak time, or keep what they have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.cluster.control_plane import ControlPlane
from tests.support.api_server import ApiServer, eventually
from tests.support.kubelet import image_of, kubelet
from tests.support.operator_process import Operator, role, role_binding
from tests.support.resources import tenant_body
from tts_operator.cluster.client import collect
from tts_operator.objects.kinds import DEPLOYMENT
from tts_operator.rollout.policy import finished

TENANTS = 4
BUSY_SECONDS = 240.0
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def operator(control_plane: ControlPlane, api: ApiServer, tmp_path: Path) -> Iterator[Operator]:
    control_plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all([role(), role_binding()]))
    flags = (f"--watch-namespaces={api.namespace}", "--lease-seconds=6")
    started = Operator.start(control_plane, tmp_path, f"{api.namespace}-op", api.namespace, flags)
    yield started
    started.end()


async def test_one_tenant_takes_the_change_first(
    api: ApiServer, operator: Operator, control_plane: ControlPlane
) -> None:
    rollout = {"canaryPercent": 25, "soakSeconds": 1}
    name = await api.publish_model(image="example.invalid/good:1", rollout=rollout)
    model = api.ref("TTSModel", name)
    for number in range(TENANTS):
        await api.user.create(tenant_body(name, key=api.key(f"tenant-{number}")))

    async def taken(image: str) -> list[str]:
        found = await collect(api.cluster.list(DEPLOYMENT, api.namespace))
        return [
            each["metadata"]["labels"]["ttsfleet.io/tenant"]
            for each in found
            if image_of(each["spec"]["template"]["spec"]) == f"example.invalid/{image}"
        ]

    async def all_have(image: str) -> bool:
        found = await collect(api.cluster.list(DEPLOYMENT, api.namespace))
        return len(await taken(image)) == TENANTS and all(map(finished, found))

    async def one_has(image: str) -> bool:
        assert len(await taken(image)) <= 1, "the others wait"
        return len(await taken(image)) == 1

    async def change(image: str) -> None:
        await api.user.patch(model, {"spec": {"image": f"example.invalid/{image}"}})

    async def programmed(reason: str, count: int) -> bool:
        said = [await api.condition("Programmed", f"tenant-{number}") for number in range(TENANTS)]
        return [each.get("reason") for each in said].count(reason) == count

    async def model_status() -> dict[str, Any]:
        return dict((await api.get("TTSModel", name)).get("status") or {})

    async def rolled_out() -> tuple[str, str]:
        conditions = (await model_status()).get("conditions") or ()
        found = next((each for each in conditions if each["type"] == "RolledOut"), {})
        return found.get("reason", ""), found.get("message", "")

    async def model_says(reason: str) -> bool:
        return (await rolled_out())[0] == reason

    async with kubelet(api) as pods:
        await eventually(
            lambda: all_have("good:1"), "everybody speaks: a first version is nobody's change", BUSY_SECONDS
        )

        pods.fate["example.invalid/slow:2"] = "starts"
        await change("slow:2")
        await eventually(lambda: one_has("slow:2"), "one takes it", BUSY_SECONDS)
        (first,) = await taken("slow:2")
        await eventually(lambda: programmed("WaitingForCanary", TENANTS - 1), "the others say so", BUSY_SECONDS)
        await eventually(lambda: model_says("CanaryRollingOut"), "the model says so", BUSY_SECONDS)
        assert (await model_status())["canary"] == {"tenants": 1, "updatedTenants": 0, "failedTenants": 0}
        assert await one_has("slow:2")
        pods.fate["example.invalid/slow:2"] = "runs"
        await eventually(lambda: all_have("slow:2"), "the others follow", BUSY_SECONDS)
        await eventually(lambda: programmed("AsSpecified", TENANTS), "nobody waits", BUSY_SECONDS)
        await eventually(lambda: model_says("AsSpecified"), "the model says so", BUSY_SECONDS)
        assert "canary" not in await model_status()

        pods.fate["example.invalid/broken:3"] = "fails"
        await change("broken:3")
        await eventually(lambda: one_has("broken:3"), "one takes it", BUSY_SECONDS)
        assert await taken("broken:3") == [first], "always the same one"
        await eventually(
            lambda: programmed("CanaryFailed", TENANTS - 1), "the others keep what they have", BUSY_SECONDS
        )
        await eventually(lambda: model_says("CanaryFailed"), "the model says so", BUSY_SECONDS)
        _, message = await rolled_out()
        assert f"{api.namespace}/{first} (" in message
        assert f"kubectl annotate ttsmodel {name} ttsfleet.io/rollout-mode=IgnoreFailures" in message
        assert (await model_status())["canary"]["failedTenants"] == 1
        assert len(await taken("slow:2")) == TENANTS - 1

        await change("slow:2")
        await eventually(lambda: all_have("slow:2"), "back, and nobody waits for that", BUSY_SECONDS)
        await eventually(lambda: model_says("AsSpecified"), "the model says so", BUSY_SECONDS)

        await change("broken:4")
        pods.fate["example.invalid/broken:4"] = "starts"
        await eventually(lambda: one_has("broken:4"), "one takes it", BUSY_SECONDS)
        control_plane.kubectl("annotate", "ttsmodel", name, "ttsfleet.io/rollout-mode=IgnoreFailures")

        async def all_take_it() -> bool:
            return len(await taken("broken:4")) > 1

        await eventually(all_take_it, "the command lets the others go", BUSY_SECONDS)
