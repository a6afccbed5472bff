"""Fields of a TTSTenant and a TTSModel, from the objects to the bytes that a caller receives, without a new pod."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.mounted_volume import MountedVolume
from tests.support.operator_builders import desired, observe, server_files
from tests.support.resources import model
from tests.support.server_app import RunningApp, running_app
from tts_server.config.files import read_model
from tts_server.config.schema import ServerConfig

PAGE = "https://app.example"
RATE_HZ = 24_000
"""Rate of pcm."""
ASKING = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}


@dataclass
class Tenant:
    """A tenant with one pool, whose pod reads the file that the operator writes."""

    volume: MountedVolume
    folder: Path
    app: RunningApp | None = None

    async def apply(self, models: Any = (), **spec: Any) -> None:
        """Apply the tenant, and wait for its server to take the file."""
        self.write(models, **spec)
        assert self.app is not None
        await self.app.application.watcher.poll()

    def write(self, models: Any = (), **spec: Any) -> None:
        known = models or [model()]
        (file,) = server_files(desired(observe(known=known, auth={"modes": ["None"]}, **spec))).values()
        # A pod has its own volume; everything else is as the operator writes it.
        storage = json.loads(file)["storage"] | {"directory": str(self.folder / "audio"), "peersUrl": None}
        self.volume.write(**{"server.json": json.dumps(json.loads(file) | {"storage": storage})})

    @property
    def running(self) -> RunningApp:
        assert self.app is not None
        return self.app


@pytest.fixture
async def acme(tmp_path: Path) -> AsyncIterator[Tenant]:
    tenant = Tenant(MountedVolume(tmp_path / "server"), tmp_path)
    tenant.write()
    file = tenant.volume / "server.json"
    async with running_app(read_model(file, ServerConfig), config_file=file) as app:
        tenant.app = app
        yield tenant


async def test_pages_are_let_in_while_the_tenant_lists_them(acme: Tenant) -> None:
    client = acme.running.client
    assert (await client.options("/v1/audio/speech", headers=ASKING)).status_code == 405
    await acme.apply(cors={"allowedOrigins": [PAGE], "maxAgeSeconds": 60})
    allowed = await client.options("/v1/audio/speech", headers=ASKING)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (204, PAGE)
    assert allowed.headers["access-control-max-age"] == "60"
    spoken = await acme.running.speech(model="espeak", voice="en-us")
    assert (spoken.status_code, spoken.headers.get("access-control-allow-origin")) == (200, None)
    read = await client.get("/v1/models", headers={"Origin": PAGE})
    assert read.headers["access-control-allow-origin"] == PAGE
    await acme.apply()
    assert (await client.options("/v1/audio/speech", headers=ASKING)).status_code == 405


async def test_links_begin_with_the_tenants_public_url(acme: Tenant) -> None:
    async def link() -> str:
        url: str = (await acme.running.synthesize()).json()["audio_url"]
        return url

    assert (await link()).startswith("http://acme.test/v1/tts/audio/")
    await acme.apply(publicURL="https://speech.example:8443/acme/")
    assert (await link()).startswith("https://speech.example:8443/acme/v1/tts/audio/")
    await acme.apply()
    assert (await link()).startswith("http://acme.test/v1/tts/audio/")


async def test_a_models_pauses_are_heard(acme: Tenant) -> None:
    async def samples(text: str) -> int:
        spoken = await acme.running.speech(model="espeak", voice="en-us", input=text, response_format="pcm")
        return len(spoken.content) // 2

    none = {f"{after}Milliseconds": 0 for after in ("sentence", "clause", "line", "paragraph")}
    text = "One of them. Two of them.\nA title\nIts text, that is.\n\nThe end."
    await acme.apply([model(pauses=none)])
    short = await samples(text)
    for after, times in (("sentence", 2), ("line", 1), ("paragraph", 1)):
        await acme.apply([model(pauses=none | {f"{after}Milliseconds": 1000})])
        assert (await samples(text) - short) / RATE_HZ == pytest.approx(times, abs=0.01), after


@pytest.mark.parametrize("milliseconds", [0, 290, 310, 2000])
async def test_every_sentence_has_a_pause_that_is_not_the_engines(acme: Tenant, milliseconds: int) -> None:
    """Or the pause would hold between some sentences only, those that the engine gets one by one."""
    acme.running.engine_clients["espeak"].passage_characters = 320
    text = " ".join(["A sentence of six short words."] * 9)
    assert (await acme.running.speech(model="espeak", voice="en-us", input=text)).status_code == 200
    assert acme.running.spoken == 2
    await acme.apply([model(pauses={"sentenceMilliseconds": milliseconds})])
    assert (await acme.running.speech(model="espeak", voice="en-us", input=text)).status_code == 200
    assert acme.running.spoken == 2 + 9
