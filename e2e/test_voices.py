"""Neural voices whose files come from elsewhere: a claim, and an object store that the platform team runs."""

from __future__ import annotations

import asyncio
import base64
import copy
import io
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import soundfile
import yaml

from e2e.caller import PYTHON, Caller
from e2e.platform import Platform, Team, fixed
from e2e.stores import ACCESS_KEY, BUCKET, S3_PORT, keeps_secret, object_store
from hack.cluster.binaries import ROOT
from tests.support.speech_recognizer import heard

HEART = yaml.safe_load((ROOT / "examples" / "model-heart.yaml").read_text(encoding="utf-8"))["spec"]
FILES = {"family": "Hibari", "files": {"model": "heart.onnx"}}
ALIAS = {"en-us": "heart"}
"""Teams of stories ask for the voice `en-us`."""
ALWAYS = "import time; time.sleep(3600)"

# Puts the graph that the image contains onto the volume, complete at once; with a word more, one of other weights.
WRITE = """
import pathlib, sys, hibari
graph = (pathlib.Path(hibari.__file__).parent / "assets" / "hibari.onnx").read_bytes()
if len(sys.argv) > 2:
    middle = len(graph) // 2
    graph = graph[:middle] + bytes(byte ^ 0x10 for byte in graph[middle:middle + 20_000]) + graph[middle + 20_000:]
folder = pathlib.Path("/volume", sys.argv[1])
folder.mkdir(exist_ok=True)
draft = folder / "draft"
draft.write_bytes(graph)
draft.rename(folder / "heart.onnx")
"""
REMOVE = """
import pathlib, shutil, sys
shutil.rmtree(pathlib.Path("/volume", sys.argv[1]))
"""
# Uploads that graph, and prints its checksum.
UPLOAD = """
import hashlib, pathlib, sys, hibari
from minio import Minio
graph = pathlib.Path(hibari.__file__).parent / "assets" / "hibari.onnx"
client = Minio(f"127.0.0.1:{sys.argv[1]}", sys.argv[2], sys.argv[3], secure=False, region="us-east-1")
client.fput_object(sys.argv[4], "en/heart.onnx", str(graph))
print(hashlib.sha256(graph.read_bytes()).hexdigest())
"""


async def publishes_heart(platform: Platform, source: dict[str, Any], onnx: dict[str, Any]) -> str:
    return await platform.publishes_model("heart", **{**copy.deepcopy(HEART), "source": source, "onnx": onnx})


@asynccontextmanager
async def claimed(platform: Platform, namespace: str) -> AsyncIterator[str]:
    """A claim named `voices` for a directory of the node, and a pod that may write to it. Yields the directory.

    /tmp is where a pod without root can make one, on every node.
    """
    kube, volume = platform.kube, f"voices-{platform.story}"
    size = {"storage": "100Mi"}
    await kube.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {
                "capacity": size,
                "accessModes": ["ReadWriteMany"],
                "storageClassName": "",
                "persistentVolumeReclaimPolicy": "Retain",
                "hostPath": {"path": "/tmp"},
                "claimRef": {"name": "voices", "namespace": namespace},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "voices", "namespace": namespace},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "storageClassName": "",
                "volumeName": volume,
                "resources": {"requests": size},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "writer", "namespace": namespace},
            "spec": {
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 0,
                "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [
                    {
                        "name": "writer",
                        "image": platform.server_image,
                        "command": [PYTHON, "-c", ALWAYS],
                        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                        "volumeMounts": [{"name": "volume", "mountPath": "/volume"}],
                    }
                ],
                "volumes": [{"name": "volume", "persistentVolumeClaim": {"claimName": "voices"}}],
            },
        },
    )
    await kube.kubectl("wait", "pod/writer", "-n", namespace, "--for=condition=Ready", "--timeout=60s")
    folder = f"ttsfleet-{volume}"
    try:
        yield folder
    finally:
        await writes(platform, namespace, REMOVE, folder)
        await kube.kubectl("delete", "pv", volume, "--wait=false")


async def writes(platform: Platform, namespace: str, script: str, *arguments: str) -> None:
    await platform.kube.kubectl("exec", "-n", namespace, "writer", "--", PYTHON, "-c", script, *arguments)


async def uids(team: Team) -> set[str]:
    return {pod["metadata"]["uid"] for pod in await team.pods()}


async def test_a_voice_on_a_claim_is_replaced_without_a_restart(platform: Platform) -> None:
    """Given a voice on a claim that does not exist, the tenant names it; once it does, the voice speaks. When another
    file has taken the place of the first and the model has a new revision, the same pods speak with it."""
    folder = f"ttsfleet-voices-{platform.story}"
    claim = {"claimName": "voices", "path": folder, "revision": "1"}
    model = await publishes_heart(platform, {"persistentVolumeClaim": claim}, FILES)
    acme = await platform.onboards_team("acme", model, schedule=fixed(1), cache={}, voiceAliases=ALIAS)
    await acme.sees_reason("Ready", "ClaimNotFound", within_seconds=20)
    assert 'persistentvolumeclaim "voices" not found' in (await acme.reads_condition("Ready"))["message"]
    async with claimed(platform, acme.namespace) as made:
        assert made == folder
        await writes(platform, acme.namespace, WRITE, folder)
        await acme.sees_condition("Ready", within_seconds=150)
        first, pods = await acme.asks(), await uids(acme)
        assert first.status == 200, first.content
        await writes(platform, acme.namespace, WRITE, folder, "other weights")
        assert (await acme.asks()).content == first.content
        await platform.changes_model(model, source={"persistentVolumeClaim": {**claim, "revision": "2"}})
        async with acme.keeps_calling(requests_per_second=2) as calls:
            await _speaks_otherwise(acme, first.content)
        assert calls.failed == []
        assert await uids(acme) == pods


async def _speaks_otherwise(team: Team, than: bytes) -> None:
    """Return once the team hears another recording for the same words."""
    for _ in range(60):
        answer = await team.asks()
        assert answer.status == 200, answer.content
        if answer.content != than:
            return
    raise AssertionError("the old voice is still served")


async def test_a_file_with_another_checksum_is_never_spoken_with(platform: Platform) -> None:
    """Given a voice in an object store with a wrong checksum, the tenant says so and serves nothing; with the right one
    it speaks. No key of the store is in the tenant's namespace."""
    key = secrets.token_urlsafe(24)
    beside = Caller(platform.kube, await platform.makes_namespace("voices"), platform.server_image)
    store = await object_store(beside, key)
    checksum = (await store.runs(UPLOAD, str(S3_PORT), ACCESS_KEY, key, BUCKET)).strip()
    reader = f"reader-{platform.story}"
    await keeps_secret(platform.kube, platform.system_namespace, reader, {"accessKey": ACCESS_KEY, "secretKey": key})
    s3 = {
        "endpoint": f"http://{store.address}",
        "bucket": BUCKET,
        "prefix": "en",
        "pathStyle": True,
        "files": [{"path": "heart.onnx", "sha256": "0" * 64}],
        "secretRef": {"name": reader},
        "sizeLimit": "100Mi",
    }
    try:
        model = await publishes_heart(platform, {"s3": s3}, FILES)
        acme = await platform.onboards_team("acme", model, schedule=fixed(1), voiceAliases=ALIAS)
        await acme.sees_reason("Ready", "ModelNotFetched", within_seconds=60)
        message = (await acme.reads_condition("Ready"))["message"]
        assert f"heart.onnx has the SHA-256 {checksum}, and source.s3.files says {'0' * 64}" in message
        assert "X-Amz" not in message
        right = [{"path": "heart.onnx", "sha256": checksum}]
        await platform.changes_model(model, source={"s3": {**s3, "files": right}})
        await acme.sees_condition("Ready", within_seconds=150)
        answer = await acme.asks()
        assert answer.status == 200, answer.content
        others = await platform.kube.items(acme.namespace, "configmaps,pods")
        assert key not in json.dumps(others)
        for secret in await platform.kube.items(acme.namespace, "secrets"):
            for value in secret.get("data", {}).values():
                assert key.encode() not in base64.b64decode(value), secret["metadata"]["name"]
    finally:
        await platform.kube.kubectl("delete", "secret", reader, "-n", platform.system_namespace, "--ignore-not-found")


async def test_two_languages_of_one_text_are_heard(platform: Platform) -> None:
    """Given the examples' tenant on Kokoro, an English and a Chinese sentence of one text are each read as what they
    are, which speech recognition confirms."""
    spec = yaml.safe_load((ROOT / "examples" / "model-kokoro.yaml").read_text(encoding="utf-8"))["spec"]
    spec["precisions"][0]["resources"]["requests"]["cpu"] = "100m"  # the node may be full of other people's tenants
    documents = yaml.safe_load_all((ROOT / "examples" / "tenant-kokoro.yaml").read_text(encoding="utf-8"))
    (tenant,) = (each["spec"] for each in documents if each["kind"] == "TTSTenant")
    model = await platform.publishes_model("kokoro", **spec)
    routing = {name: tenant[name] for name in ("voiceAliases", "languageRouting")}
    acme = await platform.onboards_team("acme", model, schedule=fixed(1), **routing)
    await acme.sees_condition("Ready", within_seconds=150)
    # The alias leads to a voice of English; the routes give each language its own.
    answer = await acme.asks("The third team speaks two languages. 欢迎使用语音服务。", voice="alloy")
    assert answer.status == 200, answer.content
    audio, sample_rate_hz = soundfile.read(io.BytesIO(answer.content), dtype="int16")
    recognized = await asyncio.to_thread(heard, audio, sample_rate_hz, "zh")
    assert "the third team speaks two languages" in recognized.lower()
    assert "欢迎使用语音服务" in recognized
