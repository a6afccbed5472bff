"""Two releases of the operator as real processes: a tenant belongs to one, and both are quiet when nothing happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.cluster.control_plane import ControlPlane
from tests.support.api_server import NUMBERS, ApiServer, eventually
from tests.support.operator_process import Operator, role, role_binding, writes_of
from tests.support.resources import tenant_body
from tts_operator.objects.keys import Key
from tts_operator.objects.labels import RELEASE
from tts_operator.objects.manifest import Body

IDLE_SECONDS = 10.0
QUIET_SECONDS = 4.0
SETTLED_SECONDS = 120.0
pytestmark = pytest.mark.timeout(600)
Start = Callable[..., Operator]


@pytest.fixture
def start(control_plane: ControlPlane, api: ApiServer, tmp_path: Path) -> Iterator[Start]:
    """Starts a release in a namespace of its own, with its Lease there."""
    control_plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all([role(), role_binding()]))
    started: list[Operator] = []

    def start(watched: str, image: str) -> Operator:
        namespace = f"release-{next(NUMBERS)}"
        control_plane.kubectl("create", "namespace", namespace)
        flags = (f"--watch-namespaces={watched}", f"--server-image={image}", "--lease-seconds=4")
        started.append(Operator.start(control_plane, tmp_path, namespace, namespace, flags))
        return started[-1]

    yield start
    for operator in started:
        operator.end()


def release(operator: Operator) -> str:
    return f"{operator.user}/tts-operator"


async def leads(operator: Operator) -> None:
    async def does() -> bool:
        return await asyncio.to_thread(lambda: operator.ready() and operator.leads())

    await eventually(does, "it leads", SETTLED_SECONDS)


async def quiet(plane: ControlPlane, operators: list[Operator]) -> None:
    """Wait for the last write, and see that none follows while nothing happens."""

    def count() -> int:
        return sum(len(writes_of(plane, operator.user)) for operator in operators)

    seen, since = await asyncio.to_thread(count), time.monotonic()

    async def settled() -> bool:
        nonlocal seen, since
        if (now := await asyncio.to_thread(count)) != seen:
            seen, since = now, time.monotonic()
        return time.monotonic() - since > QUIET_SECONDS

    await eventually(settled, "the last write", SETTLED_SECONDS, poll_seconds=0.5)
    await asyncio.sleep(IDLE_SECONDS)
    assert await asyncio.to_thread(count) == seen, "both are idle and write nothing"


async def image(api: ApiServer, model: str) -> str:
    deployment = await api.get("Deployment", f"acme-{model}")
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])


async def test_a_tenant_belongs_to_one_of_two_releases_and_moves_to_the_other_when_told(
    api: ApiServer, control_plane: ControlPlane, start: Start
) -> None:
    first = start(api.namespace, "example.invalid/first:1")
    await leads(first)
    model = await api.publish_model()
    await api.user.create(tenant_body(model, key=api.key()))

    async def owned_by(operator: Operator, expected: str) -> bool:
        status = await api.status()
        if status.get("release") != release(operator):
            return False
        deployments = [each for each in await api.children() if each.kind == "Deployment"]
        return bool(deployments) and await image(api, model) == expected

    await eventually(lambda: owned_by(first, "example.invalid/first:1"), "the first one works", SETTLED_SECONDS)
    second = start(api.namespace, "example.invalid/second:1")
    await leads(second)

    async def stays_away(message: str) -> bool:
        condition = await api.condition("SingleRelease")
        return (condition.get("status"), condition.get("reason")) == (
            "False",
            "ClaimedByAnotherRelease",
        ) and message in condition["message"]

    await eventually(lambda: stays_away(f"belongs to release {release(first)}"), "the second says so", SETTLED_SECONDS)
    await quiet(control_plane, [first, second])
    assert await image(api, model) == "example.invalid/first:1"
    written = {write.resource for write in writes_of(control_plane, second.user)}
    assert written <= {"ttstenants/status", "ttsmodels/status"}

    # A change of the spec is the first one's to follow.
    await api.user.patch(api.ref("TTSTenant", "acme"), {"spec": {"tier": "VIP"}})
    await quiet(control_plane, [first, second])
    assert {write.resource for write in writes_of(control_plane, second.user)} == written

    note = {"metadata": {"annotations": {RELEASE: release(second)}}}
    await api.user.patch(api.ref("TTSTenant", "acme"), note)
    await eventually(lambda: owned_by(second, "example.invalid/second:1"), "the second works", SETTLED_SECONDS)
    await eventually(lambda: stays_away(f"belongs to release {release(second)}"), "the first says so", SETTLED_SECONDS)
    await quiet(control_plane, [first, second])


async def test_two_confined_releases_report_on_one_model_without_end_to_their_peace(
    api: ApiServer, control_plane: ControlPlane, start: Start
) -> None:
    other = f"other-{next(NUMBERS)}"
    await api.user.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
    model = await api.publish_model()
    operators = [start(api.namespace, "example.invalid/first:1"), start(other, "example.invalid/second:1")]
    keys = [api.key(), Key(other, "one"), Key(other, "two"), Key(other, "three")]
    for key in keys:
        await api.user.create(tenant_body(model, key=key))
    for operator in operators:
        await leads(operator)

    async def status() -> Body:
        found: dict[str, Any] = (await api.get("TTSModel", model)).get("status") or {}
        return found

    async def counted() -> bool:
        return (await status()).get("tenants") == 4

    await eventually(counted, "all four tenants are counted", SETTLED_SECONDS)
    await quiet(control_plane, operators)
    reports = {each["name"]: each["tenants"] for each in (await status())["releases"]}
    assert reports == {release(operators[0]): 1, release(operators[1]): 3}
    await api.user.patch(api.ref("TTSModel", model), {"spec": {"memoryLimit": "300Mi"}})
    await quiet(control_plane, operators)
    after = await status()
    assert after["tenants"] == 4
    assert after["updatedTenants"] == sum(each["updatedTenants"] for each in after["releases"])
    assert {each["observedGeneration"] for each in after["releases"]} == {after["observedGeneration"]} == {2}
