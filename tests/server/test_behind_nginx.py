"""Through a real nginx, configured as docs/how-to/expose.md tells: replies come as they are made."""

from __future__ import annotations

import json
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
from tests.support.server_app import SENTENCES, RunningApp, ToneClient, config, running_app, until
from tests.support.timeouts import HANG_SECONDS
from tts_server.config.schema import AuthConfig, QuotaConfig

EXPOSE = ROOT / "docs" / "how-to" / "expose.md"
BODY = {"model": "tts-1", "voice": "alloy", "input": SENTENCES, "response_format": "pcm"}
MP3 = BODY | {"response_format": "mp3"}
"""So short that a proxy which buffers would collect all of it."""
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
    file.write_text(
        f"daemon off;\npid {folder}/pid;\nerror_log {folder}/errors info;\nworker_processes 1;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{paths}{servers}}}\n"
    )
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
        found.tone.gated_from = 1
        found.tone.gate.clear()
        asked = found.client.stream("POST", SPEECH, json=BODY | {"stream_format": "sse"}, headers={"Host": "speech"})
        async with asked as reply:
            assert reply.headers["content-type"].startswith("text/event-stream")
            events = reply.aiter_lines()
            assert "speech.audio.delta" in await anext(events)
            found.tone.gate.set()
            rest = [line async for line in events if line]
        assert "speech.audio.done" in rest[-1]


async def test_audio_comes_while_the_rest_is_not_spoken_yet(tmp_path: Path) -> None:
    async with behind(tmp_path) as found:
        found.tone.gated_from = 1
        found.tone.gate.clear()
        async with found.client.stream("POST", SPEECH, json=MP3) as reply:
            parts = reply.aiter_raw()
            audio = await anext(parts)
            assert found.app.spoken < 3, "the third sentence is not asked for before the second is spoken"
            found.tone.gate.set()
            async for part in parts:
                audio += part
    async with running_app(config(tmp_path / "direct")) as direct:
        assert audio == (await direct.speech(**MP3)).content


async def test_a_text_as_long_as_a_tenant_may_send_comes_through(tmp_path: Path) -> None:
    quota = QuotaConfig(max_text_characters=100_000)
    text = f"{'𠀀' * 9}。" * 10_000  # 12 bytes each in JSON, as clients may write it
    async with behind(tmp_path, quota) as found:
        found.app.engine_clients["bass"].parts = 1
        asked = [json.dumps(BODY | {"input": each, "voice": "mei", "model": "bass"}) for each in (text, f"{text}。")]
        assert len(asked[0]) > 1_100_000
        headers = {"Content-Type": "application/json"}
        replies = [await found.client.post(SPEECH, content=each, headers=headers) for each in asked]
        assert [each.status_code for each in replies] == [200, 400], "the server refuses the second, not nginx"


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
    async with behind(tmp_path) as found:
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
