"""A text that two pools speak has the pauses that one pool makes: over real HTTP, with the built-in engine."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.support.listening_app import listening
from tts_server.app.build import Application, Sources
from tts_server.config.schema import (
    AuthConfig,
    LanguageRoute,
    LocalEngine,
    ModelConfig,
    PausesConfig,
    PoolEngine,
    QuotaConfig,
    ServerConfig,
    StorageConfig,
    VoiceConfig,
)
from tts_server.samples import FULL_SCALE

TENANT = "team-acme.acme"
RATE_HZ = 24_000
TEXT = "Where are you now? <lang=de>Ich bin zu Hause.</lang> Good night to you."
"""The middle is the other model's."""


def german(engine: LocalEngine | PoolEngine, pauses: PausesConfig) -> ModelConfig:
    voices = (VoiceConfig(name="de", languages=("de",)),)
    return ModelConfig(name="german", engine=engine, languages=("de",), voices=voices, pauses=pauses)


@asynccontextmanager
async def running(folder: Path, config: ServerConfig) -> AsyncIterator[str]:
    """The URL of a server with this configuration."""
    application = Application(Sources(config, QuotaConfig()))
    await application.start()
    try:
        async with listening(application) as port:
            yield f"http://127.0.0.1:{port}"
    finally:
        await application.stop()


@dataclass
class Endpoint:
    """An entry pool, as callers see it."""

    url: str

    async def gaps_seconds(self, text: str, speed: float) -> list[float]:
        """Silences between what is heard, those that are longer than the gaps inside of words."""
        body = {"model": "english", "voice": "en-us", "input": text, "speed": speed, "response_format": "pcm"}
        async with httpx.AsyncClient(timeout=60) as client:
            reply = await client.post(f"{self.url}/v1/audio/speech", json=body)
        assert reply.status_code == 200
        samples = np.abs(np.frombuffer(reply.content, np.int16).astype(np.int32))
        gaps = np.diff(np.flatnonzero(samples > 0.003 * FULL_SCALE)) / RATE_HZ
        return [float(gap) for gap in sorted(gaps)[-2:]]


@asynccontextmanager
async def endpoint(folder: Path, *, pools: int, pauses: PausesConfig) -> AsyncIterator[Endpoint]:
    """English in the entry pool, German there or in a pool of its own."""
    internal = folder / "internal"
    internal.mkdir(exist_ok=True)
    (internal / "token").write_text("a credential")
    auth, storage = AuthConfig(internal_directory=internal), StorageConfig(directory=folder / "audio")
    async with AsyncExitStack() as stack:
        engine: LocalEngine | PoolEngine = LocalEngine()
        if pools == 2:
            models = (german(engine, PausesConfig()),)
            member = ServerConfig(tenant=TENANT, role="Member", models=models, auth=auth, storage=storage)
            engine = PoolEngine(url=await stack.enter_async_context(running(folder, member)))
        voices = (VoiceConfig(name="en-us", languages=("en",)),)
        english = ModelConfig(name="english", languages=("en",), voices=voices, pauses=pauses)
        routes = (LanguageRoute(language="de", voice="de"), LanguageRoute(language="default", voice="en-us"))
        entry = ServerConfig(
            tenant=TENANT, models=(english, german(engine, pauses)), language_routing=routes, auth=auth, storage=storage
        )
        yield Endpoint(await stack.enter_async_context(running(folder, entry)))


@pytest.mark.parametrize(
    "pauses", [PausesConfig(), PausesConfig(sentence_seconds=0.8)], ids=["the engine's own", "longer ones"]
)
async def test_two_pools_pause_as_one_does(tmp_path: Path, pauses: PausesConfig) -> None:
    async with (
        endpoint(tmp_path, pools=1, pauses=pauses) as one,
        endpoint(tmp_path, pools=2, pauses=pauses) as two,
    ):
        for speed in (0.5, 1.0, 1.5, 2.0):
            assert await two.gaps_seconds(TEXT, speed) == pytest.approx(await one.gaps_seconds(TEXT, speed), rel=0.1), (
                speed
            )
