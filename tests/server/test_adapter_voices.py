"""Voices of adapters and graphs of several precisions, served with the file that the operator writes for pods."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import hibari
import httpx
import pytest

from hack.dequantize import dequantize
from hack.make_adapter import calmer, write
from tests.support.onnx_models import onnx_model
from tests.support.operator_builders import desired, observe, server_files
from tests.support.resources import precision
from tts_operator.api import TTSModel
from tts_server.app.build import Application, Sources
from tts_server.config.schema import QuotaConfig, ServerConfig

GRAPH = Path(hibari.__file__).parent / "assets" / "hibari.onnx"
CLAIM = {"persistentVolumeClaim": {"claimName": "voices"}}
CALM = {"name": "heart-calm", "adapter": "calm", "baseVoice": "heart"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files as pods mount them: graphs of two precisions, and an adapter from another source."""
    folder = tmp_path_factory.mktemp("mounted")
    (folder / "model").mkdir()
    shutil.copy(GRAPH, folder / "model" / "int8.onnx")
    dequantize(GRAPH, folder / "model" / "fp32.onnx", "fp32")
    (folder / "adapters" / "calm").mkdir(parents=True)
    write(folder / "adapters" / "calm" / "calm.npz", calmer(GRAPH))
    return folder


@asynccontextmanager
async def pod(known: TTSModel, files: Path, folder: Path, **entry: object) -> AsyncIterator[httpx.AsyncClient]:
    """The server of a pod: `/srv/ttsfleet` is `files`, its volume for audio is `folder`."""
    observed = observe({"name": known.metadata.name, **entry}, known=[known], auth={"modes": ["None"]}, cache={})
    text = server_files(desired(observed))["acme-espeak-server"]
    text = text.replace("/srv/ttsfleet", str(files)).replace("/var/lib/ttsfleet", str(folder))
    async with AsyncExitStack() as stack:
        application = Application(Sources(ServerConfig.model_validate_json(text), QuotaConfig()))
        await application.start()
        stack.push_async_callback(application.stop)
        transport = httpx.ASGITransport(application.asgi)
        yield await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://acme.test"))


def heart(**spec: Any) -> TTSModel:
    onnx = {"family": "Hibari", "files": {"model": "int8.onnx"}}
    return onnx_model(source=CLAIM, onnx=onnx, languages=["en"], firstAudioTimeoutSeconds=60, **spec)


async def says(client: httpx.AsyncClient, voice: str = "heart", **options: str) -> bytes:
    body = {"text": "Thank you for calling.", "voice": voice, "format": "wav", "options": options}
    reply = await client.post("/v1/tts/synthesize", json=body, headers={"Accept": "audio/*"})
    assert reply.status_code == 200, reply.text
    return reply.content


async def test_the_voice_of_an_adapter_is_listed_and_speaks_otherwise(files: Path, tmp_path: Path) -> None:
    adapter = {"name": "calm", "source": {"image": {"reference": "registry.example/calm:1"}}, "path": "calm.npz"}
    known = heart(voices=[{"name": "heart"}, CALM], adapters=[adapter])
    async with pod(known, files, tmp_path) as client:
        voices = (await client.get("/v1/audio/voices")).json()["voices"]
        assert [each["id"] for each in voices] == ["heart", "heart-calm"]
        plain, calm = await says(client, "heart"), await says(client, "heart-calm")
        assert plain != calm, "the cache keeps them apart, too"
        assert await says(client, "heart-calm") == calm
    async with pod(heart(voices=[{"name": "heart"}]), files, tmp_path) as client:
        assert await says(client, "heart") == plain, "an adapter changes its own voice only"


async def test_a_request_selects_the_graph_of_a_precision(files: Path, tmp_path: Path) -> None:
    precisions = [{**precision(name), "files": {"model": f"{name}.onnx"}} for name in ("int8", "fp32")]
    known = heart(voices=[{"name": "heart"}], precisions=precisions)
    async with pod(known, files, tmp_path, allowedPrecisions=["int8", "fp32"]) as client:
        int8, fp32 = await says(client, precision="int8"), await says(client, precision="fp32")
        assert await says(client) == int8, "the first precision is the default"
        assert int8 != fp32, "the graphs compute otherwise, and each is cached for itself"
    async with pod(known, files, tmp_path, allowedPrecisions=["fp32"], precision="fp32") as client:
        assert await says(client) == fp32
