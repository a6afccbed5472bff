"""Pipelines read from a tenant's conditions whether a change runs, and whether a key works."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hack.cluster.control_plane import ControlPlane
from hack.cluster.errors import CommandError
from tests.support.api_server import CLOCK, SETTINGS, ApiServer, eventually
from tests.support.kubelet import kubelet
from tests.support.resources import Object, tenant_body
from tts_operator.controller.reconcile_model import ModelUse, reconcile_model
from tts_operator.controller.reconcile_tenant import ReconcileContext, reconcile

IMAGE = "example.invalid/espeak:1"
OPEN = {"modes": ["None"]}


async def reconciled_until(api: ApiServer, holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """Reconcile, as after every event of a child, until it holds."""

    async def done() -> bool:
        await reconcile(api.key(), ReconcileContext(api.cluster, SETTINGS, CLOCK))
        return await holds()

    await eventually(done, what, poll_seconds=0.3)


async def conditions(api: ApiServer) -> dict[str, tuple[str, str]]:
    found = (await api.status())["conditions"]
    return {each["type"]: (each["status"], each["reason"]) for each in found}


async def running_generation(api: ApiServer) -> Any:
    return (await api.status()).get("runningGeneration")


async def waits(control_plane: ControlPlane, api: ApiServer, condition: str) -> bool:
    """Whether `kubectl wait` succeeds within a second."""
    arguments = ("wait", "-n", api.namespace, "ttst", "acme", f"--for={condition}", "--timeout=1s")
    try:
        await asyncio.to_thread(control_plane.kubectl, *arguments)
    except CommandError as error:
        if "timed out" in str(error):
            return False
        raise
    return True


def of_generation(generation: int) -> str:
    return f"jsonpath={{.status.runningGeneration}}={generation}"


async def test_a_change_that_no_new_pod_gets_ready_for_is_not_taken_for_rolled(
    api: ApiServer, control_plane: ControlPlane
) -> None:
    name = await api.publish_model(image=IMAGE)
    await api.user.create(tenant_body(name, key=api.key(), auth=OPEN))
    async with kubelet(api) as pods:

        async def runs(generation: int) -> bool:
            return bool(await running_generation(api) == generation)

        await reconciled_until(api, lambda: runs(1), "the first generation runs")
        assert (await conditions(api))["Ready"] == ("True", "AsSpecified")
        assert await waits(control_plane, api, of_generation(1))

        pods.fate[IMAGE] = "starts"
        storage = {"s3": {"endpoint": "https://s3.example", "bucket": "audio", "secretRef": {"name": "none"}}}
        await api.user.patch(api.ref("TTSTenant", "acme"), {"spec": {"storage": storage}})
        assert not await waits(control_plane, api, "condition=Ready"), "that is of the generation before"

        async def serves() -> bool:
            return (await conditions(api))["Ready"] == ("True", "RollingOut")

        await reconciled_until(api, serves, "the previous pod serves")
        found = await conditions(api)
        assert found["Progressing"] == found["Reconciling"] == ("True", "RollingOut")
        status = await api.status()
        assert (status["runningGeneration"], status["observedGeneration"]) == (1, 2)
        assert not await waits(control_plane, api, of_generation(2))

        pods.fate[IMAGE] = "runs"
        await reconciled_until(api, lambda: runs(2), "the second generation runs")
        assert await waits(control_plane, api, of_generation(2))
        assert "Reconciling" not in await conditions(api), "a condition that ended leaves nothing behind"


async def test_a_suspended_tenant_is_ready_and_not_available(api: ApiServer, control_plane: ControlPlane) -> None:
    name = await api.publish_model(image=IMAGE)
    await api.user.create(tenant_body(name, key=api.key(), auth=OPEN))
    async with kubelet(api):

        async def is_so(type_: str, *expected: str) -> bool:
            return (await conditions(api)).get(type_) == expected

        await reconciled_until(api, lambda: is_so("Ready", "True", "AsSpecified"), "it is ready")
        await api.user.patch(api.ref("TTSTenant", "acme"), {"spec": {"suspend": True}})
        await reconcile(api.key(), ReconcileContext(api.cluster, SETTINGS, CLOCK))
        assert await is_so("Progressing", "True", "Suspending"), "its pods are not gone yet"
        await reconciled_until(api, lambda: is_so("Progressing", "False", "Suspended"), "its pods are gone")
        found = await conditions(api)
        assert found["Ready"] == found["Suspended"] == ("True", "Suspended")
        assert found["Available"] == ("False", "Suspended")
        assert await waits(control_plane, api, "condition=Suspended")
        assert await waits(control_plane, api, of_generation(2))
        assert not await waits(control_plane, api, "condition=Available")
        await api.user.patch(api.ref("TTSTenant", "acme"), {"spec": {"suspend": False}})
        await reconcile(api.key(), ReconcileContext(api.cluster, SETTINGS, CLOCK))
        found = await conditions(api)
        assert found["Ready"][0] == "False"
        assert "Suspended" not in found


async def test_a_model_says_why_the_pods_of_its_tenants_do_not_start(api: ApiServer) -> None:
    """In the server's own sentence, and without a word of who the tenants are."""
    name = await api.publish_model(image=IMAGE)
    await api.user.create(tenant_body(name, key=api.key(), auth=OPEN))
    context = ReconcileContext(api.cluster, SETTINGS, CLOCK)
    tenants = frozenset({api.key()})

    async def servable() -> tuple[str, str, str]:
        await reconcile(api.key(), context)
        starts = context.start_failures
        failures, unread = starts.of(name, tenants), starts.unread(tenants)
        use = ModelUse(context.release, tenants, lambda _: frozenset(), start_failures=failures, unread=unread)
        await reconcile_model(name, api.cluster, context.objects, use, CLOCK)
        status = (await api.get("TTSModel", name))["status"]
        assert api.namespace not in str(status["conditions"])
        assert "acme" not in str(status["conditions"])
        found = {each["type"]: each for each in status["conditions"]}
        assert found["Ready"]["status"] == found["Servable"]["status"], "it is the only tenant"
        return found["Servable"]["status"], found["Servable"]["reason"], found["Servable"]["message"]

    async with kubelet(api) as pods:
        pods.fate[IMAGE] = "ends"
        told = ("False", "EngineNotStarted", f"pods of 1 of 1 tenants do not start: {pods.words}")

        async def is_told() -> bool:
            return await servable() == told

        await eventually(is_told, "the model tells it", poll_seconds=0.3)


def keys_secret(api: ApiServer, **entries: str) -> Object:
    data = {name: base64.b64encode(content.encode()).decode() for name, content in entries.items()}
    metadata = {"name": "acme-keys", "namespace": api.namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


PLAIN = "tts_this-is-the-key-itself"
HASH = hashlib.sha256(PLAIN.encode()).hexdigest()


async def test_keys_that_do_not_work_are_named_until_they_are_mended(api: ApiServer) -> None:
    """Nothing restarts: the pods of a tenant whose Secret was wrong read it again, as after every change of it."""
    name = await api.publish_model(image=IMAGE)
    await api.user.create(tenant_body(name, key=api.key()))

    async def told(**entries: str) -> tuple[tuple[str, str], str]:
        await api.user.put(keys_secret(api, **entries))
        await reconcile(api.key(), ReconcileContext(api.cluster, SETTINGS, CLOCK))
        found = await api.condition("KeysConfigured")
        body = str((await api.get("TTSTenant", "acme"))["status"]) + str(await api.events())
        assert PLAIN not in body
        return (found["status"], found["reason"]), found["message"]

    async with kubelet(api):

        async def complete() -> bool:
            return bool((await api.condition("Progressing"))["reason"] == "Complete")

        await reconciled_until(api, complete, "pods run")
        state, message = await told()
        assert state == ("False", "KeysUnusable")
        assert f"Secret acme-keys in namespace {api.namespace} has no entry" in message
        state, message = await told(mobile=PLAIN, web="TODO")
        assert state == ("False", "KeysUnusable")
        assert "entry mobile looks like a key in plain text" in message
        assert "entry web is not the SHA-256" in message
        assert (await conditions(api))["Ready"] == ("False", "KeysUnusable")
        template = (await api.get("Deployment", f"acme-{name}"))["spec"]["template"]
        state, _ = await told(mobile=HASH, web="TODO")
        assert state == ("False", "KeysUnusable")

        async def works() -> bool:
            return (await conditions(api))["Ready"] == ("True", "AsSpecified")

        await reconciled_until(api, works, "one key works")
        state, _ = await told(mobile=HASH)
        assert state == ("True", "AsSpecified")
        assert (await api.get("Deployment", f"acme-{name}"))["spec"]["template"] == template


async def test_the_command_in_the_message_adds_a_key_that_works(api: ApiServer, control_plane: ControlPlane) -> None:
    name = await api.publish_model(image=IMAGE)
    await api.user.create(tenant_body(name, key=api.key()))
    await api.user.put(keys_secret(api, mobile=PLAIN))
    await reconcile(api.key(), ReconcileContext(api.cluster, SETTINGS, CLOCK))
    keygen = (await api.condition("KeysConfigured"))["message"].partition("`")[2].rstrip("`").split()
    assert keygen[:3] == ["kubectl", "tts", "keygen"]
    programs = f"{control_plane.programs['kubectl'].parent}:{os.environ['PATH']}"
    environment = {**os.environ, "KUBECONFIG": str(control_plane.kubeconfig), "PATH": programs}
    plugin = [str(Path(sys.executable).parent / "kubectl-tts"), *keygen[2:]]
    await asyncio.to_thread(subprocess.run, plugin, check=True, capture_output=True, env=environment)
    removal = '[{"op": "remove", "path": "/data/mobile"}]'
    patch = ("-n", api.namespace, "patch", "secret", "acme-keys", "--type=json", "-p", removal)
    await asyncio.to_thread(control_plane.kubectl, *patch)
    await reconcile(api.key(), ReconcileContext(api.cluster, SETTINGS, CLOCK))
    assert (await conditions(api))["KeysConfigured"] == ("True", "AsSpecified")


@pytest.mark.parametrize("wanted", ["model", "voice"])
async def test_a_name_that_does_not_exist_is_told_with_those_that_do(api: ApiServer, wanted: str) -> None:
    name = await api.publish_model()
    body = tenant_body(f"{name}x" if wanted == "model" else name, key=api.key(), voiceAliases={"alloy": "en"})
    await api.user.create(body)
    await reconcile(api.key(), ReconcileContext(api.cluster, SETTINGS, CLOCK))
    message = (await api.condition("ModelsResolved"))["message"]
    if wanted == "model":
        assert f"models that this namespace may use: {name}" in message
    else:
        assert "their voices: en-us, de" in message
