"""A model changes under eight tenants: they roll three at a time, and nobody follows two that fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hack.cluster.control_plane import ControlPlane
from tests.support.api_server import ApiServer, eventually
from tests.support.kubelet import image_of, kubelet
from tests.support.operator_process import Operator, role, role_binding
from tests.support.resources import tenant_body
from tts_operator.cluster.client import collect
from tts_operator.objects.kinds import DEPLOYMENT
from tts_operator.objects.manifest import Body
from tts_operator.rollout.policy import finished
from tts_operator.rollout.situation import Limits

TENANTS = 8
AT_ONCE = Limits().tenants_per_namespace
"""All tenants of this file are in one namespace, which has half of the places."""
pytestmark = pytest.mark.timeout(900)
SHORT_LEASE = "--lease-seconds=6"
"""A leader that is killed lets nothing go: the next one has to wait for so long."""
BUSY_SECONDS = 180.0
"""For eight tenants, on a machine that does other things."""


@pytest.fixture
def operator(control_plane: ControlPlane, api: ApiServer, tmp_path: Path) -> Iterator[Operator]:
    control_plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all([role(), role_binding()]))
    flags = (f"--watch-namespaces={api.namespace}", SHORT_LEASE)
    started = Operator.start(control_plane, tmp_path, f"{api.namespace}-op", api.namespace, flags)
    yield started
    started.end()


async def deployments(api: ApiServer) -> list[Body]:
    return await collect(api.cluster.list(DEPLOYMENT, api.namespace))


async def with_image(api: ApiServer, image: str) -> list[Body]:
    return [each for each in await deployments(api) if image_of(each["spec"]["template"]["spec"]) == image]


async def reasons(api: ApiServer) -> list[str]:
    found = [await api.condition("Programmed", f"tenant-{number}") for number in range(TENANTS)]
    return sorted(str(each.get("reason")) for each in found)


async def test_eight_tenants_take_a_models_change_in_turn(api: ApiServer, operator: Operator) -> None:
    name = await api.publish_model(image="example.invalid/good:1")
    model = api.ref("TTSModel", name)
    for number in range(TENANTS):
        await api.user.create(tenant_body(name, key=api.key(f"tenant-{number}")))
    most = 0

    async def change(image: str) -> None:
        await api.user.patch(model, {"spec": {"image": f"example.invalid/{image}"}})

    async def all_have(image: str) -> bool:
        nonlocal most
        found = await with_image(api, f"example.invalid/{image}")
        most = max(most, len([each for each in found if not finished(each)]))
        return len(found) == TENANTS and all(finished(each) for each in found)

    async def so_many_have(image: str, count: int) -> bool:
        found = await with_image(api, f"example.invalid/{image}")
        assert len(found) <= count
        return len(found) == count

    async def programmed(**expected: int) -> bool:
        found = await reasons(api)
        return all(found.count(reason) == count for reason, count in expected.items())

    async with kubelet(api) as pods:
        await eventually(lambda: all_have("good:1"), "everybody speaks", BUSY_SECONDS)
        assert most > AT_ONCE, "new tenants wait for nobody"

        pods.fate["example.invalid/slow:2"] = "starts"
        await change("slow:2")
        await eventually(lambda: so_many_have("slow:2", AT_ONCE), "three roll", BUSY_SECONDS)
        waiting = TENANTS - AT_ONCE
        await eventually(lambda: programmed(WaitingForRollout=waiting), "the others say that they wait", BUSY_SECONDS)
        assert len(await with_image(api, "example.invalid/slow:2")) == AT_ONCE
        most = 0
        pods.fate["example.invalid/slow:2"] = "runs"
        await eventually(lambda: all_have("slow:2"), "everybody follows", BUSY_SECONDS)
        assert most <= AT_ONCE
        await eventually(lambda: programmed(AsSpecified=TENANTS), "nobody waits", BUSY_SECONDS)

        pods.fate["example.invalid/broken:3"] = "fails"
        await change("broken:3")
        await eventually(lambda: programmed(RolloutHalted=waiting), "nobody follows those that fail", BUSY_SECONDS)
        blocked = await with_image(api, "example.invalid/slow:2")
        assert len(blocked) == waiting
        mine = blocked[0]["metadata"]["labels"]["ttsfleet.io/tenant"]
        said = await api.condition("Programmed", mine)
        failing = {each["metadata"]["labels"]["ttsfleet.io/tenant"]
                   for each in await with_image(api, "example.invalid/broken:3")}  # fmt: skip
        assert len([each for each in failing if each in said["message"]]) == 2
        assert f"TTSModel {name}" in said["message"]

        async def model_says() -> bool:
            conditions = ((await api.get("TTSModel", name)).get("status") or {}).get("conditions") or ()
            return any(each["type"] == "RolledOut" and "failed on" in each["message"] for each in conditions)

        await eventually(model_says, "the model says so, too", BUSY_SECONDS)

        own = {"spec": {"auth": {"modes": ["APIKey"], "apiKeysSecretRef": {"name": "mine"}}}}
        await api.user.patch(api.ref("TTSTenant", mine), own)
        await eventually(lambda: so_many_have("broken:3", AT_ONCE + 1), "its own change rolls at once", BUSY_SECONDS)

        await change("mended:4")
        await eventually(lambda: all_have("mended:4"), "the mended model reaches everybody", BUSY_SECONDS)
        await eventually(lambda: programmed(AsSpecified=TENANTS), "nobody waits", BUSY_SECONDS)
        assert not await model_says()


async def test_the_next_leader_knows_who_rolls(
    control_plane: ControlPlane, api: ApiServer, operator: Operator, tmp_path: Path
) -> None:
    """The first one is killed while three roll: the second one lets nobody else go before one of them is there."""
    name = await api.publish_model(image="example.invalid/good:1")
    for number in range(TENANTS):
        await api.user.create(tenant_body(name, key=api.key(f"tenant-{number}")))

    async def all_have(image: str) -> bool:
        found = await with_image(api, f"example.invalid/{image}")
        return len(found) == TENANTS and all(finished(each) for each in found)

    async def three_roll() -> bool:
        return len(await with_image(api, "example.invalid/slow:2")) == AT_ONCE

    async with kubelet(api) as pods:
        await eventually(lambda: all_have("good:1"), "everybody speaks", BUSY_SECONDS)
        pods.fate["example.invalid/slow:2"] = "starts"
        await api.user.patch(api.ref("TTSModel", name), {"spec": {"image": "example.invalid/slow:2"}})
        await eventually(three_roll, "three roll", BUSY_SECONDS)
        operator.kill()
        flags = (f"--watch-namespaces={api.namespace}", SHORT_LEASE)
        second = Operator.start(control_plane, tmp_path, f"{api.namespace}-two", api.namespace, flags)
        try:
            await api.user.patch(api.ref("TTSTenant", "tenant-0"), {"spec": {"quota": {"requestsPerMinute": 3}}})

            async def seen() -> bool:
                return bool((await api.status("tenant-0"))["observedGeneration"] == 2)

            await eventually(seen, "the second one leads", BUSY_SECONDS)
            assert await three_roll()
            pods.fate["example.invalid/slow:2"] = "runs"
            await eventually(lambda: all_have("slow:2"), "everybody follows", BUSY_SECONDS)
        finally:
            second.end()
