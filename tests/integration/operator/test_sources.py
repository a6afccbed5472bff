"""Models whose files come from elsewhere, on a real API server: what it stores, and who may read what."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from tests.support.api_server import SETTINGS, ApiServer, converge, planned
from tests.support.onnx_models import CLAIM, HIBARI, IMAGE, s3_source
from tests.support.resources import Object, tenant_body
from tts_operator.cluster.errors import Conflict
from tts_operator.objects.kinds import SECRET
from tts_operator.objects.manifest import Body, Ref


@pytest.fixture
async def reader(api: ApiServer) -> AsyncIterator[Ref]:
    """Secret in the operator's namespace with the keys of an object store, for this test alone."""
    with suppress(Conflict):  # another test has made it
        await api.user.post("/api/v1/namespaces", {"metadata": {"name": SETTINGS.namespace}})
    secret = Ref.of(SECRET, SETTINGS.namespace, f"reader-of-{api.namespace}")
    await api.user.put(keys_of(secret, "one"))
    yield secret
    await api.user.delete(secret)


def keys_of(secret: Ref, secret_key: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": secret.name, "namespace": secret.namespace},
        "stringData": {"accessKey": "reader", "secretKey": secret_key},
    }


def url_of(secret: Body) -> str:
    ((text),) = secret["data"].values()
    return str(json.loads(base64.b64decode(text))["files"][0]["url"])


async def test_every_source_through_the_api_server_leaves_an_empty_plan(api: ApiServer, reader: Ref) -> None:
    """A claim, an image and an object store; a key that is rotated signs anew, and one that is missing is named."""
    sources = (s3_source(secretRef={"name": reader.name}), CLAIM, IMAGE)
    names = [await api.publish_model(engine="Onnx", source=source, onnx=HIBARI) for source in sources]
    await api.user.create(tenant_body(*names, key=api.key()))
    await converge(api)
    assert await planned(api) == []
    assert (await api.condition("Programmed"))["status"] == "True"
    volumes = [
        next(
            each
            for each in (await api.get("Deployment", f"acme-{name}"))["spec"]["template"]["spec"]["volumes"]
            if each["name"] == "model"
        )
        for name in names
    ]
    assert [sorted(each) for each in volumes] == [
        ["emptyDir", "name"],
        ["name", "persistentVolumeClaim"],
        ["image", "name"],
    ]
    before = url_of(await api.get("Secret", f"acme-{names[0]}-source"))
    await api.user.put(keys_of(reader, "two"))
    await converge(api)
    after = url_of(await api.get("Secret", f"acme-{names[0]}-source"))
    assert after != before
    await api.user.put({**keys_of(reader, "two"), "stringData": {"accessKey": "reader"}})
    await converge(api)
    resolved = await api.condition("ModelsResolved")
    assert (resolved["status"], resolved["reason"]) == ("False", "SourceSecretInvalid")
    assert f"Secret {SETTINGS.namespace}/{reader.name}, named by spec.source.s3.secretRef" in resolved["message"]
    assert url_of(await api.get("Secret", f"acme-{names[0]}-source")) == after, "pods may start anew"


async def test_an_adapter_comes_to_pods_from_a_source_of_its_own(api: ApiServer, reader: Ref) -> None:
    """The API server stores pods with the files of the model and of its adapters, each from where it is."""
    store = s3_source(secretRef={"name": reader.name}, files=[{"path": "calm.npz", "sha256": "cd" * 32}])
    voices = [
        {"name": "heart"},
        {"name": "heart-calm", "adapter": "calm", "baseVoice": "heart"},
        {"name": "heart-stern", "adapter": "stern", "baseVoice": "heart"},
    ]
    adapters = [
        {"name": "calm", "source": store, "path": "calm.npz", "memory": "16Mi"},
        {"name": "stern", "source": IMAGE, "path": "stern.npz"},
    ]
    name = await api.publish_model(engine="Onnx", source=CLAIM, onnx=HIBARI, voices=voices, adapters=adapters)
    await api.user.create(tenant_body(name, key=api.key()))
    await converge(api)
    assert await planned(api) == []
    assert (await api.condition("Programmed"))["status"] == "True"
    (pod, *_) = await api.listed("/api/v1/namespaces/{}/pods", "acme")
    kinds = {each["name"]: next(iter(each.keys() - {"name"})) for each in pod["spec"]["volumes"] if "-" in each["name"]}
    assert kinds == {"adapter-calm": "emptyDir", "adapter-stern": "image", "model-source": "secret"}
    assert [each["name"] for each in pod["spec"]["initContainers"]] == ["fetch-adapter-calm"]
    assert "/en/calm.npz?" in url_of(await api.get("Secret", f"acme-{name}-source"))


async def test_urls_go_with_the_last_pod_that_needs_them(api: ApiServer, reader: Ref) -> None:
    name = await api.publish_model(engine="Onnx", source=s3_source(secretRef={"name": reader.name}), onnx=HIBARI)
    await api.user.create(tenant_body(name, key=api.key()))
    await converge(api)
    await api.user.patch(api.ref("TTSModel", name), {"spec": {"source": {"s3": None, **CLAIM}}})
    await converge(api)
    assert await api.cluster.get(api.ref("Secret", f"acme-{name}-source")) is not None
    pods = await api.listed("/api/v1/namespaces/{}/pods", "acme")
    old = [pod for pod in pods if pod["spec"].get("initContainers")]
    assert old, "no kubelet has made the new pods ready"
    await api.user.patch(api.ref("TTSTenant", "acme"), {"spec": {"suspend": True}})
    await converge(api)
    assert await api.cluster.get(api.ref("Secret", f"acme-{name}-source")) is None
