"""The load time of a model, learned from starts of pods by a running operator. The test writes what a kubelet would."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.cluster.control_plane import ControlPlane
from tests.support.api_server import ApiServer, eventually
from tests.support.operator_process import Operator, role, role_binding
from tests.support.resources import tenant_body
from tts_operator.cluster.client import collect
from tts_operator.objects.kinds import POD
from tts_operator.objects.labels import POOL_LABEL
from tts_operator.objects.manifest import Body, Ref

pytestmark = pytest.mark.timeout(600)
QUIET_SECONDS = 4.0
"""Longer than any delay of the operator's between a start and its report."""


@pytest.fixture
def start(control_plane: ControlPlane, api: ApiServer, tmp_path: Path) -> Iterator[Callable[[], Operator]]:
    control_plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all([role(), role_binding()]))
    started: list[Operator] = []

    def start() -> Operator:
        flags = (f"--watch-namespaces={api.namespace}", "--lease-seconds=6", "--resync-seconds=3600")
        user = f"{api.namespace}-op-{len(started)}"
        started.append(Operator.start(control_plane, tmp_path, user, api.namespace, flags))
        return started[-1]

    yield start
    for operator in started:
        operator.end()


async def pods_of(api: ApiServer, pool: str) -> list[Body]:
    found = await collect(api.cluster.list(POD, api.namespace))
    return [pod for pod in found if pod["metadata"]["labels"].get(POOL_LABEL) == pool]


async def becomes_ready(api: ApiServer, pod: Body, after_seconds: int, at: datetime) -> None:
    """Write what a kubelet writes of a pod that got a node so long before it was ready."""
    times = {"PodScheduled": at - timedelta(seconds=after_seconds), "Ready": at}
    conditions = [
        {"type": type_, "status": "True", "lastTransitionTime": f"{time:%FT%TZ}"} for type_, time in times.items()
    ]
    ref = Ref.of(POD, api.namespace, pod["metadata"]["name"])
    await api.user.patch(ref, {"status": {"phase": "Running", "conditions": conditions}}, "status")


async def test_the_lead_of_a_window_follows_from_the_starts_of_pods(
    api: ApiServer, start: Callable[[], Operator]
) -> None:
    model = await api.publish_model()
    schedule = {"default": {"minReplicas": 2, "maxReplicas": 4}}
    for name in ("acme", "beta"):
        await api.user.create(tenant_body(model, key=api.key(name), schedule=schedule, auth={"modes": ["None"]}))
    operator = start()

    async def has_pods() -> bool:
        return all([len(await pods_of(api, f"{name}-{model}")) == 2 for name in ("acme", "beta")])

    await eventually(has_pods, "the pods exist", 180)
    now = datetime.now(UTC).replace(microsecond=0)

    async def status() -> dict[str, Any]:
        found: dict[str, Any] = (await api.get("TTSModel", model)).get("status") or {}
        return found

    async def learned(seconds: int, *starts: int) -> bool:
        found = await status()
        mine = found["releases"][0].get("startSeconds") if found.get("releases") else None
        return (found.get("loadSeconds"), mine) == (seconds, list(starts))

    async def is_learned_from(pod: Body, after_seconds: int, at: datetime, *expected: int) -> bool:
        # The scheduler, which has no node, writes over the pod's conditions now and then.
        await becomes_ready(api, pod, after_seconds, at)
        return await learned(*expected)

    async def leads(seconds: int) -> bool:
        return all([(await api.status(name)).get("preWarmSeconds") == seconds for name in ("acme", "beta")])

    first, second = await pods_of(api, f"acme-{model}")
    await eventually(lambda: is_learned_from(first, 42, now, 45, 42), "the first start is the load time")
    await eventually(lambda: leads(45), "both tenants have it as their lead")
    later = now + timedelta(seconds=1)
    await eventually(lambda: is_learned_from(second, 12, later, 45, 42, 12), "a fast one does not change it")

    async def version() -> str:
        return str((await api.get("TTSModel", model))["metadata"]["resourceVersion"])

    async def is_quiet() -> bool:
        before = await version()
        await asyncio.sleep(QUIET_SECONDS)
        return await version() == before

    await eventually(is_quiet, "nothing more is written")
    before = await version()
    await becomes_ready(api, first, 42, now + timedelta(seconds=9))  # it was not ready for a while
    assert await is_quiet()
    assert await version() == before, "no pod has started, nothing is written"

    operator.kill()
    start()
    (third, _) = await pods_of(api, f"beta-{model}")
    last = now + timedelta(seconds=2)
    await eventually(
        lambda: is_learned_from(third, 70, last, 75, 42, 12, 70), "what was learned outlives the operator, each once"
    )
    await eventually(lambda: leads(75), "both tenants follow")
