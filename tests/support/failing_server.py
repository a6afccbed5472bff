"""A server whose first model misbehaves when a text tells it to; another one stands in for it. Real processes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.support.server_app import config
from tests.support.timeouts import HANG_SECONDS
from tts_server.app.build import Application, Sources
from tts_server.config.schema import FallbackConfig, ModelConfig, QuotaConfig, VoiceConfig
from tts_server.inference.pool.worker_pool import WorkerPool

MODES = ("crash", "exit", "hang", "stall", "garbage", "nan", "mute", "hoard", "babble")
"""Texts that make `FailingEngine` fail."""
FIRST_AUDIO_SECONDS = 1.0
MEMORY_BYTES = 400_000_000


@dataclass
class Heard:
    """Outcomes of the calls."""

    statuses: Counter[int] = field(default_factory=Counter)
    degraded: int = 0


@dataclass
class Misbehaving:
    """The application, and a client of it."""

    application: Application
    client: httpx.AsyncClient
    pools: dict[str, WorkerPool]

    async def speech(self, text: str) -> httpx.Response:
        body = {"model": "tone", "voice": "beep", "input": text, "response_format": "flac"}
        return await self.client.post("/v1/audio/speech", json=body)

    async def load(self, mode: str, *, requests: int, callers: int = 4) -> Heard:
        """A quarter of the texts make the engine fail in that way."""
        texts = iter([mode if number % 4 == 0 else "ok" for number in range(requests)])
        heard = Heard()

        async def caller() -> None:
            for text in texts:
                reply = await self.speech(text)
                heard.statuses[reply.status_code] += 1
                heard.degraded += reply.headers.get("x-tts-status") == "degraded"

        await asyncio.gather(*(caller() for _ in range(callers)))
        return heard


@asynccontextmanager
async def misbehaving(folder: Path) -> AsyncIterator[Misbehaving]:
    """`tone` has bad days, `bass` behaves; two processes each."""
    pools: dict[str, WorkerPool] = {}

    def engine_client(model: ModelConfig) -> WorkerPool:
        engine = {"tone": "FailingEngine", "bass": "ToneEngine"}[model.name]
        # On a busy machine the one that behaves may take longer, too.
        first_audio_seconds = {"tone": FIRST_AUDIO_SECONDS, "bass": HANG_SECONDS}[model.name]
        pools[model.name] = WorkerPool(
            f"tests.support.tone_engines:{engine}",
            processes=2,
            first_audio_timeout_seconds=first_audio_seconds,
            memory_limit_bytes=MEMORY_BYTES,
        )
        return pools[model.name]

    models = (
        ModelConfig(name="tone", voices=(VoiceConfig(name="beep"),), fallback=FallbackConfig(model="bass")),
        ModelConfig(name="bass", voices=(VoiceConfig(name="low"),)),
    )
    settings = config(folder, models=models, language_routing=(), voice_aliases={})
    application = Application(Sources(settings, QuotaConfig()), engine_client)
    await application.start()
    transport = httpx.ASGITransport(application.asgi)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://acme.test", timeout=120) as client:
            yield Misbehaving(application, client, pools)
    finally:
        await application.stop()
