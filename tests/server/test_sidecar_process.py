"""A pod of engine Sidecar without a cluster: a second tts-server is the sidecar; the operator writes server.json."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.operator_builders import desired, observe, server_files
from tests.support.resources import model
from tests.support.server_process import Running, running
from tests.support.timeouts import HANG_SECONDS
from tts_server.app.build import Application, Sources
from tts_server.config.schema import QuotaConfig, ServerConfig

BODY = {"model": "espeak", "voice": "anna", "input": "Hello from the sidecar.", "response_format": "wav"}


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Running]:
    (tmp_path / "sidecar").mkdir()
    with running(tmp_path / "sidecar") as server:
        yield server


@pytest.fixture
async def pod(sidecar: Running, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The server container, which speaks by the sidecar."""
    options = {
        "image": "registry.example/tts-server:1",
        "port": sidecar.port,
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}},
        "model": "espeak",
        "voices": {"anna": "en-us"},
    }
    known = model(
        engine="Sidecar",
        sidecar=options,
        voices=[{"name": "anna", "languages": ["en"]}],
        firstAudioTimeoutSeconds=int(HANG_SECONDS),
    )
    text = server_files(desired(observe(known=[known], auth={"modes": ["None"]})))["acme-espeak-server"]
    text = text.replace("/var/lib/ttsfleet", str(tmp_path / "data"))
    application = Application(Sources(ServerConfig.model_validate_json(text), QuotaConfig()))
    await application.start()
    transport = httpx.ASGITransport(application.asgi)
    async with httpx.AsyncClient(transport=transport, base_url="http://acme.test") as client:
        yield client
    await application.stop()


async def test_the_sidecar_speaks_in_its_own_voice_and_its_end_is_told(
    pod: httpx.AsyncClient, sidecar: Running
) -> None:
    reply = await pod.post("/v1/audio/speech", json=BODY)
    assert reply.status_code == 200, reply.text
    assert reply.content[:4] == b"RIFF"
    assert 'voice="en-us"' in sidecar.metrics(), "the sidecar's name of the voice"
    assert sidecar.end() == 0
    refused = await pod.post("/v1/audio/speech", json={**BODY, "input": "And now nobody is there."})
    assert (refused.status_code, refused.json()["error"]["code"]) == (502, "remote_unreachable")
    assert "127.0.0.1" not in refused.text
