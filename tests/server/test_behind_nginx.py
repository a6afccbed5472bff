"""Through a real nginx, configured as docs/how-to/expose.md tells: replies come as they are made."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from hack.nginx import nginx
from tests.support.api_server import eventually
from tests.support.doc_blocks import ROOT, blocks, free_port
from tests.support.listening_app import listening
from tests.support.replies import PCM_BYTES_A_SECOND
from tests.support.server_app import SENTENCES, RunningApp, ToneClient, config, running_app, until
from tests.support.timeouts import HANG_SECONDS
from tts_server.config.schema import AuthConfig, QuotaConfig

EXPOSE = ROOT / "docs" / "how-to" / "expose.md"
BODY = {"model": "tts-1", "voice": "alloy", "input": SENTENCES, "response_format": "pcm"}
SECOND_BYTES = int(PCM_BYTES_A_SECOND * 0.18)
"""Audio that only the second sentence brings, less what the resampler keeps: more than two buffers of nginx."""
SPEECH = "/v1/audio/speech"
PROXY = AuthConfig(trusted_proxies=(ip_network("127.0.0.1/32"),))
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def page_configuration(port: int, server_port: int) -> str:
    """The page's block, on ports of this test."""
    (block,) = [each for each in blocks(EXPOSE) if each.language == "nginx"]
    assert "proxy_buffering off;" in block.text
    return block.text.replace("listen 8443;", f"listen 127.0.0.1:{port};").replace(":8080;", f":{server_port};")


@contextmanager
def nginx_with(folder: Path, servers: str) -> Iterator[None]:
    """A running nginx with these servers; its files are in `folder`."""
    paths = "".join(f"{each}_temp_path {folder}/{each};\n" for each in TEMPORARY)
    file = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""  # nobody may not write into the folder
    head = f"{user}daemon off;pid {folder}/pid;error_log {folder}/errors info;worker_processes 1;events {{}}"
    file.write_text(f"{head}http {{access_log off;{paths}{servers}}}")
    process = subprocess.Popen([nginx(), "-p", folder, "-c", file, "-e", folder / "errors"])
    try:
        yield
    finally:
        process.terminate()
        process.wait(HANG_SECONDS)


@dataclass
class Behind:
    """A server, and a client that reaches it only through nginx."""

    app: RunningApp
    client: httpx.AsyncClient

    @property
    def tone(self) -> ToneClient:
        return self.app.engine_clients["tone"]


@asynccontextmanager
async def behind(folder: Path, quota: QuotaConfig | None = None) -> AsyncIterator[Behind]:
    port = free_port()
    settings = config(folder, auth=PROXY)
    async with running_app(settings, *([quota] if quota else [])) as app, listening(app.application) as server_port:
        with nginx_with(folder, page_configuration(port, server_port)):
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=HANG_SECONDS) as client:
                await eventually(lambda: answers(client), "nginx listens", HANG_SECONDS)
                yield Behind(app, client)


async def answers(client: httpx.AsyncClient) -> bool:
    """Whether nginx listens."""
    try:
        return (await client.get("/healthz")).status_code == 200
    except httpx.ConnectError:
        return False


async def test_events_come_while_the_rest_is_not_spoken_yet(tmp_path: Path) -> None:
    async with behind(tmp_path) as found:
        found.tone.gated_from = 2
        found.tone.gate.clear()
        body = BODY | {"stream_format": "sse"}
        async with found.client.stream("POST", SPEECH, json=body) as reply:
            assert reply.headers["content-type"].startswith("text/event-stream")
            lines = (line async for line in reply.aiter_lines() if line.startswith("data: "))
            audio = 0
            while audio < SECOND_BYTES:
                event = json.loads((await anext(lines)).removeprefix("data: "))
                assert event["type"] == "speech.audio.delta"
                audio += len(base64.b64decode(event["audio"]))
            found.tone.gate.set()
            rest = [line async for line in lines]
        assert "speech.audio.done" in rest[-1]


async def test_audio_comes_while_the_rest_is_not_spoken_yet(tmp_path: Path) -> None:
    async with behind(tmp_path) as found:
        found.tone.gated_from = 2
        found.tone.gate.clear()
        async with found.client.stream("POST", SPEECH, json=BODY) as reply:
            parts = reply.aiter_raw()
            audio = b""
            while len(audio) < SECOND_BYTES:
                audio += await anext(parts)
            found.tone.gate.set()
            async for part in parts:
                audio += part
    async with running_app(config(tmp_path / "direct")) as direct:
        assert audio == (await direct.speech(**BODY)).content


async def test_a_text_as_long_as_a_tenant_may_send_comes_through(tmp_path: Path) -> None:
    async with behind(tmp_path, QuotaConfig(max_text_characters=100_000)) as found:
        spoken = await found.client.post(SPEECH, json=BODY | {"input": "One sentence comes here. " * 400})
        assert spoken.status_code == 200
        largest = json.dumps(BODY | {"input": "𠀀" * 100_001})  # 12 bytes for each, as clients may write it
        refused = await found.client.post(SPEECH, content=largest, headers={"Content-Type": "application/json"})
        assert refused.status_code == 400, "the server refuses it, not nginx"
        assert "100000" in refused.json()["error"]["message"]


async def test_a_refusal_says_through_nginx_when_to_come_back(tmp_path: Path) -> None:
    async with behind(tmp_path, QuotaConfig(requests_per_minute=1)) as found:
        assert (await found.client.post(SPEECH, json=BODY)).status_code == 200
        refused = await found.client.post(SPEECH, json=BODY)
        assert refused.status_code == 429
        assert 0 < int(refused.headers["retry-after"]) <= 60
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert '"requestsPerMinute";r=0' in refused.headers["ratelimit"]


async def test_a_server_that_is_about_to_end_says_so_through_nginx(tmp_path: Path) -> None:
    async with behind(tmp_path) as found:
        found.app.application.server.draining = True
        refused = await found.client.post(SPEECH, json=BODY, headers={"X-TTS-Priority": "batch"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
        assert int(refused.headers["retry-after"]) > 0


def in_flight(registry: CollectorRegistry) -> float:
    """Requests that the server has not answered to their end."""
    samples = [each for family in registry.collect() for each in family.samples if each.name == "tts_inflight_requests"]
    return sum(each.value for each in samples)


async def test_a_client_that_hangs_up_at_nginx_is_spoken_to_no_longer(tmp_path: Path) -> None:
    sentences = 600
    async with behind(tmp_path, QuotaConfig(max_text_characters=100_000)) as found:
        found.tone.gated_from = 1
        found.tone.gate.clear()
        registry = found.app.application.server.metrics.registry
        long = BODY | {"input": "One sentence comes here. " * sentences}
        async with found.client.stream("POST", SPEECH, json=long) as reply:
            await anext(reply.aiter_raw())
            assert in_flight(registry) == 1
        await until(lambda: "client prematurely closed connection" in (tmp_path / "errors").read_text())
        found.tone.gate.set()
        await until(lambda: in_flight(registry) == 0)
        assert found.app.spoken < sentences, "the rest is not spoken to nobody"


@pytest.mark.parametrize("claimed", [{}, {"X-Forwarded-Host": "evil.example", "X-Forwarded-Prefix": "/evil"}])
async def test_a_link_has_the_address_at_nginx_and_nothing_that_the_client_made_up(
    tmp_path: Path, claimed: dict[str, str]
) -> None:
    async with behind(tmp_path) as found:
        headers = {"Host": "acme.speech.example", **claimed}
        reply = await found.client.post("/v1/tts/synthesize", json={"text": "Hello."}, headers=headers)
        link: str = reply.json()["audio_url"]
        assert link.startswith("https://acme.speech.example/v1/tts/audio/")
        path = link.removeprefix("https://acme.speech.example")
        assert (await found.client.get(path)).headers["content-type"] == "audio/mpeg"
