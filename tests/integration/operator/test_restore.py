"""A tenant is restored from what `docs/how-to/backup.md` saves: it has the children and keys of before."""

from __future__ import annotations

import asyncio
from typing import Any

import yaml

from hack.cluster.control_plane import ControlPlane
from tests.support.api_server import DAY, ApiServer, converge, eventually, specs
from tests.support.resources import tenant_body

KEYS = {"mobile-app": "c2hhMjU2", "web": "aGFzaA=="}


async def a_tenant(api: ApiServer) -> str:
    """One with every kind of child that needs no store, and two keys; returns the name of its model."""
    model = await api.publish_model()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "acme-keys", "namespace": api.namespace}}
    await api.user.create({**secret, "data": KEYS})
    auth = {"modes": ["APIKey", "JWT"]}
    await api.user.create(tenant_body(model, key=api.key(), schedule=DAY, auth=auth, cache={}))
    await converge(api)
    return model


async def essence(api: ApiServer) -> dict[str, Any]:
    """The children, and how many keys sign: their names differ."""
    signing = await api.get("Secret", "acme-signing")
    children = {name: child for name, child in specs(await api.children()).items() if "acme-signing" not in name}
    return {**children, "signing keys": len(signing["data"])}


async def is_gone(api: ApiServer) -> bool:
    return not await api.children()


async def test_a_tenant_that_is_restored_has_its_children_and_keys_again(
    api: ApiServer, control_plane: ControlPlane
) -> None:
    kubectl, here = control_plane.kubectl, ("-n", api.namespace)
    model = await a_tenant(api)
    before, uid = await essence(api), (await api.get("TTSTenant", "acme"))["metadata"]["uid"]
    others = "app.kubernetes.io/managed-by!=tts-operator"
    saved = [
        kubectl("get", "secrets", *here, "-l", others, "--field-selector", "type=Opaque", "-o", "yaml"),
        kubectl("get", "ttsmodels", "--field-selector", f"metadata.name={model}", "-o", "yaml"),
        kubectl("get", "ttstenants", *here, "-o", "yaml"),
    ]
    assert [len(yaml.safe_load(listed)["items"]) for listed in saved] == [1, 1, 1], (
        "nothing that the operator made is saved"
    )
    for kind, name in (("ttstenant", "acme"), ("secret", "acme-keys"), ("ttsmodel", model)):
        await asyncio.to_thread(kubectl, "delete", kind, name, *here)
    await eventually(lambda: is_gone(api), "the children are collected")
    for listed in saved:
        await asyncio.to_thread(kubectl, "create", "-f", "-", input=listed)
    await converge(api)
    assert (await api.get("TTSTenant", "acme"))["metadata"]["uid"] != uid
    assert (await api.get("Secret", "acme-keys"))["data"] == KEYS
    assert await essence(api) == before


async def test_a_child_that_is_restored_from_a_backup_is_none_of_the_new_tenants(
    api: ApiServer, control_plane: ControlPlane
) -> None:
    """The page says not to restore child objects: the API server collects them, and the operator makes others."""
    kubectl, here = control_plane.kubectl, ("-n", api.namespace)
    await a_tenant(api)
    old = await api.get("ConfigMap", "acme-quota")
    tenants = kubectl("get", "ttstenants", *here, "-o", "yaml")
    await asyncio.to_thread(kubectl, "delete", "ttstenant", "acme", *here)
    await eventually(lambda: is_gone(api), "the children are collected")
    metadata = {name: value for name, value in old["metadata"].items() if name != "resourceVersion"}
    await api.user.create({**old, "metadata": metadata})
    await asyncio.to_thread(kubectl, "create", "-f", "-", input=tenants)
    await eventually(lambda: is_gone(api), "what the former tenant owned is collected")
    await converge(api)
    owner = (await api.get("ConfigMap", "acme-quota"))["metadata"]["ownerReferences"][0]
    assert owner["uid"] == (await api.get("TTSTenant", "acme"))["metadata"]["uid"]
