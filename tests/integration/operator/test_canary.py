"""A model's change reaches one of four tenants first; the others follow after the soak time, or keep what they have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
SOON = {"canaryPercent": 25, "soakSeconds": 1}
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def operator(control_plane: ControlPlane, api: ApiServer, tmp_path: Path) -> Iterator[Operator]:
    control_plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all([role(), role_binding()]))
    flags = (f"--watch-namespaces={api.namespace}", "--lease-seconds=6")
    started = Operator.start(control_plane, tmp_path, f"{api.namespace}-op", api.namespace, flags)
    yield started
    started.end()


@dataclass
class Fleet:
    """Tenants of one model, and what they and the model say."""

    api: ApiServer
    model: str

    @classmethod
    async def onboard(cls, api: ApiServer, **rollout: Any) -> Fleet:
        fleet = cls(api, await api.publish_model(image="example.invalid/good:1", rollout=rollout))
        for number in range(TENANTS):
            await api.user.create(tenant_body(fleet.model, key=api.key(f"tenant-{number}")))
        await fleet.sees(fleet.all_have("good:1"), "everybody speaks: a first version is nobody's change")
        return fleet

    async def sees(self, what: Any, story: str) -> None:
        await eventually(what, story, BUSY_SECONDS)

    async def change(self, image: str) -> None:
        image = f"example.invalid/{image}"
        await self.api.user.patch(self.api.ref("TTSModel", self.model), {"spec": {"image": image}})

    async def taken(self, image: str) -> list[str]:
        """Tenants with this image in their pod template."""
        found = await collect(self.api.cluster.list(DEPLOYMENT, self.api.namespace))
        return [
            each["metadata"]["labels"]["ttsfleet.io/tenant"]
            for each in found
            if image_of(each["spec"]["template"]["spec"]) == f"example.invalid/{image}"
        ]

    def all_have(self, image: str) -> Any:
        async def holds() -> bool:
            found = await collect(self.api.cluster.list(DEPLOYMENT, self.api.namespace))
            return len(await self.taken(image)) == TENANTS and all(map(finished, found))

        return holds

    def one_has(self, image: str) -> Any:
        async def holds() -> bool:
            assert len(await self.taken(image)) <= 1, "the others wait"
            return len(await self.taken(image)) == 1

        return holds

    def programmed(self, reason: str, count: int) -> Any:
        async def holds() -> bool:
            said = [await self.api.condition("Programmed", f"tenant-{number}") for number in range(TENANTS)]
            return [each.get("reason") for each in said].count(reason) == count

        return holds

    async def status(self) -> dict[str, Any]:
        return dict((await self.api.get("TTSModel", self.model)).get("status") or {})

    async def rolled_out(self) -> tuple[str, str]:
        conditions = (await self.status()).get("conditions") or ()
        found: Any = next((each for each in conditions if each["type"] == "RolledOut"), {})
        return found.get("reason", ""), found.get("message", "")

    def model_says(self, reason: str) -> Any:
        async def holds() -> bool:
            return (await self.rolled_out())[0] == reason

        return holds


async def test_the_others_follow_the_first_after_the_soak_time(api: ApiServer, operator: Operator) -> None:
    async with kubelet(api) as pods:
        fleet = await Fleet.onboard(api, **SOON)
        pods.fate["example.invalid/slow:2"] = "starts"
        await fleet.change("slow:2")
        await fleet.sees(fleet.one_has("slow:2"), "one takes it")
        await fleet.sees(fleet.programmed("WaitingForCanary", TENANTS - 1), "the others say so")
        await fleet.sees(fleet.model_says("CanaryRollingOut"), "the model says so")
        assert (await fleet.status())["canary"] == {"tenants": 1, "updatedTenants": 0, "failedTenants": 0}
        assert await fleet.one_has("slow:2")()
        pods.fate["example.invalid/slow:2"] = "runs"
        await fleet.sees(fleet.all_have("slow:2"), "the others follow")
        await fleet.sees(fleet.programmed("AsSpecified", TENANTS), "nobody waits")
        await fleet.sees(fleet.model_says("AsSpecified"), "the model says so")
        assert "canary" not in await fleet.status()


async def test_a_change_that_soaks_stays_with_the_first(api: ApiServer, operator: Operator) -> None:
    async with kubelet(api):
        fleet = await Fleet.onboard(api, canaryPercent=25, soakSeconds=3600)
        await fleet.change("good:2")
        await fleet.sees(fleet.one_has("good:2"), "one takes it")
        await fleet.sees(fleet.model_says("CanarySoaking"), "it runs there, and the others wait")
        assert (await fleet.status())["canary"]["soaksUntil"] in (await fleet.rolled_out())[1]
        await api.user.patch(api.ref("TTSModel", fleet.model), {"spec": {"rollout": {"soakSeconds": 0}}})
        await fleet.sees(fleet.all_have("good:2"), "less time is enough: the others follow")


async def test_the_others_keep_what_they_have_when_it_fails(
    api: ApiServer, operator: Operator, control_plane: ControlPlane
) -> None:
    async with kubelet(api) as pods:
        fleet = await Fleet.onboard(api, **SOON)
        pods.fate["example.invalid/broken:2"] = "fails"
        await fleet.change("broken:2")
        await fleet.sees(fleet.one_has("broken:2"), "one takes it")
        (first,) = await fleet.taken("broken:2")
        await fleet.sees(fleet.programmed("CanaryFailed", TENANTS - 1), "the others keep what they have")
        await fleet.sees(fleet.model_says("CanaryFailed"), "the model says so")
        _, message = await fleet.rolled_out()
        assert f"{api.namespace}/{first} (" in message
        assert f"kubectl annotate ttsmodel {fleet.model} ttsfleet.io/rollout-mode=IgnoreFailures" in message
        assert (await fleet.status())["canary"]["failedTenants"] == 1
        assert len(await fleet.taken("good:1")) == TENANTS - 1

        await fleet.change("good:1")
        await fleet.sees(fleet.all_have("good:1"), "back, and nobody waits for that")
        await fleet.sees(fleet.model_says("AsSpecified"), "the model says so")

        pods.fate["example.invalid/broken:3"] = "fails"
        await fleet.change("broken:3")
        await fleet.sees(fleet.model_says("CanaryFailed"), "it fails, too")
        assert await fleet.taken("broken:3") == [first], "always the same one"
        control_plane.kubectl("annotate", "ttsmodel", fleet.model, "ttsfleet.io/rollout-mode=IgnoreFailures")

        async def more_take_it() -> bool:
            return len(await fleet.taken("broken:3")) > 1

        await fleet.sees(more_take_it, "the command lets the others go")
