"""A whole server whose model another speech server speaks: what callers get while that one works and while it fails."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import generate_latest

from tests.support.listening_app import listening
from tests.support.server_app import config
from tests.support.speech_servers import (
    Behaviour,
    ScriptedServer,
    breaks_off,
    refuses,
    scripted_server,
    sends,
    speaks,
    speaks_slowly,
)
from tests.support.timeouts import HANG_SECONDS
from tts_server.app.build import Application, Sources
from tts_server.circuit_breaker import State
from tts_server.config.schema import FallbackConfig, ModelConfig, QuotaConfig, SpeechServerEngine, VoiceConfig

THREE = "The first one. The second one is longer. And this is the third."


@dataclass
class Behind:
    """A server in front of two speech servers: `far`, and `spare`, its fallback."""

    application: Application
    client: httpx.AsyncClient
    far: ScriptedServer
    spare: ScriptedServer

    async def speech(self, text: str = "Hello.", **fields: Any) -> httpx.Response:
        body = {"model": "far", "voice": "ann", "input": text, "response_format": "flac"} | fields
        return await self.client.post("/v1/audio/speech", json=body)

    def metric(self, line: str) -> bool:
        return line in generate_latest(self.application.server.metrics.registry).decode()

    def breaker(self, model: str = "far") -> State:
        snapshot = self.application.server.snapshot
        assert snapshot is not None
        return snapshot.guards[model].breaker.state


def model(name: str, voice: str, url: str, **changes: Any) -> ModelConfig:
    engine = SpeechServerEngine(type="Remote", url=url, silence_timeout_seconds=HANG_SECONDS)
    return ModelConfig(
        name=name, engine=engine, voices=(VoiceConfig(name=voice, languages=("en",)),),
        first_audio_timeout_seconds=HANG_SECONDS, **changes,
    )  # fmt: skip


@asynccontextmanager
async def behind(folder: Path, *, spared: bool) -> AsyncIterator[Behind]:
    async with scripted_server() as far, scripted_server() as spare:
        fallback = FallbackConfig(model="spare") if spared else None
        models = (model("far", "ann", far.url, fallback=fallback), model("spare", "bob", spare.url))
        settings = config(folder, models=models, model_aliases={}, voice_aliases={}, language_routing=())
        application = Application(Sources(settings, QuotaConfig()))
        await application.start()
        try:
            async with (
                listening(application) as port,
                httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=HANG_SECONDS) as client,
            ):
                yield Behind(application, client, far, spare)
        finally:
            await application.stop()


@pytest.fixture
async def spared(tmp_path: Path) -> AsyncIterator[Behind]:
    async with behind(tmp_path, spared=True) as found:
        yield found


@pytest.fixture
async def unspared(tmp_path: Path) -> AsyncIterator[Behind]:
    async with behind(tmp_path, spared=False) as found:
        yield found


async def test_it_speaks_and_counts_the_request(unspared: Behind) -> None:
    reply = await unspared.speech(THREE, response_format="wav")
    assert (reply.status_code, reply.headers["x-tts-engine"]) == (200, "far")
    assert len(reply.content) > 0.05 * len(THREE) * 48_000 * 0.9
    assert unspared.metric('tts_remote_requests_total{model="far",outcome="ok"}')


FAULTS: dict[str, tuple[Behaviour, int, str]] = {
    "too many requests":  (refuses(429, headers="Retry-After: 7\r\n"), 503, "remote_busy"),
    "a refused key":      (refuses(401), 502, "remote_rejected"),
    "a text it refuses":  (refuses(422), 400, "text_rejected"),
    "an error":           (refuses(500), 502, "engine_error"),
    "a page":             (sends(b"<html>", "text/html"), 502, "engine_garbage"),
    "a cut stream":       (breaks_off, 502, "engine_crashed"),
}  # fmt: skip


@pytest.mark.parametrize(("behave", "status", "code"), FAULTS.values(), ids=FAULTS)
async def test_without_a_fallback_callers_are_told(unspared: Behind, behave: Behaviour, status: int, code: str) -> None:
    unspared.far.behave = behave
    reply = await unspared.speech()
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert reply.json()["error"]["message"].startswith("The speech server of model far ")
    if code == "remote_busy":
        assert reply.headers["retry-after"] == "7"


@pytest.mark.parametrize("name", [name for name in FAULTS if name != "a text it refuses"])
async def test_the_fallback_speaks_for_whatever_is_not_the_callers_fault(spared: Behind, name: str) -> None:
    spared.far.behave, _, code = FAULTS[name]
    reply = await spared.speech()
    assert (reply.status_code, reply.headers["x-tts-engine"]) == (200, "spare")
    assert reply.headers["x-tts-status"] == "degraded"
    assert spared.spare.asked[0].body["voice"] == "bob"
    assert spared.metric(f'tts_fallbacks_total{{model="far",reason="{code}"}} 1.0')


async def test_a_text_that_is_refused_reaches_its_caller_and_never_opens_the_breaker(spared: Behind) -> None:
    spared.far.behave = refuses(422)
    assert [(await spared.speech()).status_code for _ in range(6)] == [400] * 6
    assert spared.breaker() is State.CLOSED
    assert spared.spare.asked == []
    assert len(spared.far.asked) == 6


async def test_a_server_that_asks_to_wait_opens_no_breaker_and_is_asked_once(spared: Behind) -> None:
    spared.far.behave = refuses(429, headers="Retry-After: 30\r\n")
    assert [(await spared.speech()).headers["x-tts-engine"] for _ in range(6)] == ["spare"] * 6
    assert spared.breaker() is State.CLOSED
    assert len(spared.far.asked) == 1


async def test_a_server_that_fails_opens_the_breaker_and_is_left_alone(spared: Behind) -> None:
    spared.far.behave = refuses(500)
    assert [(await spared.speech()).headers["x-tts-engine"] for _ in range(6)] == ["spare"] * 6
    assert spared.breaker() is State.OPEN
    assert len(spared.far.asked) == 3


async def test_after_the_first_byte_the_reply_is_cut_and_no_other_voice_speaks(spared: Behind) -> None:
    heard = asyncio.Event()

    async def second_fails(server: ScriptedServer, asked: Any, writer: Any) -> None:
        if len(server.asked) > 1:
            await heard.wait()
        await (speaks if len(server.asked) == 1 else refuses(500))(server, asked, writer)

    async def listen() -> None:
        async with spared.client.stream("POST", "/v1/audio/speech", json=body) as reply:
            assert reply.headers["x-tts-engine"] == "far"
            async for _ in reply.aiter_raw():
                heard.set()

    spared.far.behave = second_fails
    text = " ".join(f"This is sentence {number} of a text that is long enough." for number in range(12))
    body = {"model": "far", "voice": "ann", "input": text, "response_format": "wav"}
    with pytest.raises(httpx.RemoteProtocolError):
        await listen()
    assert spared.spare.asked == []


async def test_a_caller_who_hangs_up_ends_the_request_to_the_speech_server(spared: Behind) -> None:
    """At the next part of the audio: until then a caller that has left looks like one that only waits."""
    spared.far.behave = speaks_slowly
    text = " ".join(["a sentence without an end that takes more than a minute to speak and goes on"] * 12)
    body = {"model": "far", "voice": "ann", "input": text, "response_format": "wav"}
    async with spared.client.stream("POST", "/v1/audio/speech", json=body) as reply:
        assert reply.status_code == 200
        async for _ in reply.aiter_raw():
            break
    left = time.monotonic()
    await spared.far.asked[0].gone.wait()
    assert time.monotonic() - left < HANG_SECONDS / 2, "ended by the caller, not by a timeout"


async def test_another_url_is_served_after_a_reload(spared: Behind) -> None:
    await spared.speech()
    settings = spared.application.server.snapshot
    assert settings is not None
    far, spare = settings.config.models
    assert isinstance(far.engine, SpeechServerEngine)
    moved = far.model_copy(update={"engine": far.engine.model_copy(update={"url": spared.spare.url})})
    await spared.application.server.show(settings.config.model_copy(update={"models": (moved, spare)}))
    reply = await spared.speech("Hello again.")
    assert reply.headers["x-tts-engine"] == "far"
    assert len(spared.far.asked) == 1
    assert len(spared.spare.asked) == 1
