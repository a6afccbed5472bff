"""An engine client without processes, and an application around it without sockets: routes at full speed."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from starlette.types import Message

from tests.support.timeouts import HANG_SECONDS
from tts_server.app.build import Application, Sources
from tts_server.config.schema import (
    LanguageRoute,
    ModelConfig,
    PausesConfig,
    Precision,
    QuotaConfig,
    ServerConfig,
    StorageConfig,
    VoiceConfig,
)
from tts_server.engines.protocol import VoiceFeatures, Voices
from tts_server.errors import TTSError
from tts_server.inference.client import Utterance
from tts_server.samples import Samples
from tts_server.scheduling.fair_queue import Priority, SchedulingParams

RATE_HZ = 16_000
SENTENCES = "The first one. The second one is longer. And this is the third."
AT_ONCE = SchedulingParams()
NO_PAUSES = PausesConfig(sentence_seconds=0, clause_seconds=0, line_seconds=0, paragraph_seconds=0)
"""Replies last as long as what `ToneClient` yields."""


class ToneClient:
    """Yields 100 ms for each utterance, in parts. `fail` may raise before a part: it gets the numbers of both."""

    def __init__(self, sample_rate_hz: int = RATE_HZ, parts: int = 2) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.voices: Voices = {}
        self.passage_characters = 0
        self.real_time_factor = 0.0
        self.voice_features = VoiceFeatures()
        self.pause_scales: Mapping[float, float] = {}
        self.ready = False
        self.parts = parts
        self.spoken: list[Utterance] = []
        self.turns: list[SchedulingParams] = []
        self.hurried: list[object] = []
        self.closed = 0
        """Utterances that were closed before their end."""
        self.fail: Callable[[int, int], None] = lambda utterance, part: None
        self.gate = asyncio.Event()
        """While it is not set no part is yielded, from utterance number `gated_from` on."""
        self.gated_from = 0
        self.gate.set()

    async def start(self) -> None:
        self.ready = True

    async def stop(self) -> None:
        self.ready = False

    def refuse_waiting(self, error: TTSError, priority: Priority | None = None) -> None:
        pass  # no utterance waits

    def promote(self, reply: object) -> None:
        self.hurried.append(reply)

    async def speak(self, utterance: Utterance, params: SchedulingParams = AT_ONCE) -> AsyncGenerator[Samples]:
        number = len(self.spoken)
        self.spoken.append(utterance)
        self.turns.append(params)
        try:
            for part in range(self.parts):
                if number >= self.gated_from:
                    await self.gate.wait()
                self.fail(number, part)
                await asyncio.sleep(0)
                yield np.full(self.sample_rate_hz // 10 // self.parts, 8192, np.int16)
        except GeneratorExit:
            self.closed += 1
            raise


def config(directory: Path, **changes: Any) -> ServerConfig:
    """Two models, `tone` and `bass`; Chinese is the bass's."""
    settings: dict[str, Any] = {
        "tenant": "team-acme.acme",
        "models": (
            ModelConfig(
                pauses=NO_PAUSES,
                name="tone",
                languages=("en", "de"),
                voices=(VoiceConfig(name="ann"), VoiceConfig(name="bob", languages=("de",))),
                precision=Precision.FP32,
                allowed_precisions=(Precision.FP32, Precision.INT8),
            ),
            ModelConfig(name="bass", languages=("zh",), voices=(VoiceConfig(name="mei"),), pauses=NO_PAUSES),
        ),
        "model_aliases": {"tts-1": "tone"},
        "voice_aliases": {"alloy": "ann"},
        "language_routing": (
            LanguageRoute(language="zh", voice="mei"),
            LanguageRoute(language="de", voice="bob"),
            LanguageRoute(language="default", voice="ann"),
        ),
        "storage": StorageConfig(directory=directory / "audio"),
    }
    return ServerConfig(**settings | changes)


@dataclass
class RunningApp:
    """A running application and a client of it."""

    application: Application
    client: httpx.AsyncClient
    engine_clients: dict[str, ToneClient] = field(default_factory=dict)

    async def speech(self, **fields: Any) -> httpx.Response:
        body = {"model": "tts-1", "voice": "alloy", "input": "Hello.", "response_format": "wav"} | fields
        return await self.client.post("/v1/audio/speech", json=body)

    async def synthesize(self, **fields: Any) -> httpx.Response:
        return await self.client.post("/v1/tts/synthesize", json={"text": "Hello."} | fields)

    @property
    def spoken(self) -> int:
        """Utterances so far, of all models."""
        return sum(len(engine_client.spoken) for engine_client in self.engine_clients.values())


async def until(condition: Callable[[], object]) -> None:
    """Run the event loop until it holds: a busy machine alone fails no test."""
    async with asyncio.timeout(HANG_SECONDS):
        while not condition():  # noqa: ASYNC110 - what is waited for is in the product, which tells nobody
            await asyncio.sleep(0)


@dataclass
class Call:
    """A request without a client library, which would hide each message, and when the caller hangs up."""

    app: RunningApp
    body: dict[str, Any]
    path: str = "/v1/audio/speech"
    http_version: str = "1.1"
    method: str = "POST"
    query: str = ""
    sent: list[Message] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set it to hang up."""
    stalled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set: the caller takes what comes. Cleared: it stops reading."""

    async def run(self) -> None:
        """Send the request, and return when the application does."""
        self.stalled.set()
        headers = [(b"content-type", b"application/json"), (b"host", b"acme.test")]
        scope = {
            "type": "http", "method": self.method, "path": self.path, "raw_path": self.path.encode(),
            "query_string": self.query.encode(),
            "headers": headers, "http_version": self.http_version, "scheme": "http", "server": ("acme.test", 80),
            "client": ("127.0.0.1", 1), "root_path": "", "asgi": {"version": "3.0", "spec_version": "2.3"},
        }  # fmt: skip
        await self.app.application.asgi(scope, self._receive, self._send)

    @property
    def status(self) -> int | None:
        """HTTP status; None before the reply begins."""
        return next((int(m["status"]) for m in self.sent if m["type"] == "http.response.start"), None)

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def parts(self) -> list[bytes]:
        return [m["body"] for m in self.sent if m["type"] == "http.response.body"]

    def has_ended(self) -> bool:
        """Whether the answer came to its proper end."""
        return bool(self.sent) and self.sent[-1]["type"] == "http.response.body" and not self.sent[-1].get("more_body")

    async def _receive(self) -> Message:
        body, self.body = self.body, {}
        if body:
            return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        await self.stalled.wait()
        self.sent.append(message)


@asynccontextmanager
async def running_app(
    config: ServerConfig,
    quota: QuotaConfig | None = None,
    *,
    config_file: Path | None = None,
    replica: str = "",
    **engine_clients: ToneClient,
) -> AsyncIterator[RunningApp]:
    """Every model has a `ToneClient` of its own, or the one given by its name."""
    cast = {model.name: engine_clients.get(model.name) or ToneClient() for model in config.models}
    application = Application(
        Sources(config, quota or QuotaConfig(), config_file, replica=replica),
        lambda model: cast.setdefault(model.name, ToneClient()),
    )
    await application.start()
    transport = httpx.ASGITransport(application.asgi, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://acme.test") as client:
        yield RunningApp(application, client, cast)
    await application.stop()
