"""A model whose files change under their names: a new revision in server.json makes running servers read them again."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import hibari
import httpx
import pytest

from tests.support.mounted_volume import MountedVolume
from tts_server.app.build import Application, Sources
from tts_server.config.schema import (
    CacheConfig,
    LocalEngine,
    ModelConfig,
    OnnxConfig,
    QuotaConfig,
    ServerConfig,
    StorageConfig,
)
from tts_server.inference.pool.worker_pool import WorkerPool

GRAPH = Path(hibari.__file__).parent / "assets" / "hibari.onnx"
LONG = "The files of a voice may change while it speaks. " * 6


@dataclass
class Voice:
    """A server with one neural voice, whose graph is on a volume."""

    application: Application
    client: httpx.AsyncClient
    volume: MountedVolume
    graph: Path

    def publishes(self, revision: str) -> None:
        """Write server.json as the operator does for a new revision of the claim."""
        config = configured(self.graph, revision, self.volume.directory.parent)
        self.volume.write(**{"server.json": config.model_dump_json(by_alias=True, exclude_none=True)})

    async def reloads(self, revision: str) -> None:
        self.publishes(revision)
        await self.application.watcher.poll()

    async def says(self, text: str = "Good morning.") -> bytes:
        body = {"model": "heart", "voice": "heart", "input": text, "response_format": "wav"}
        reply = await self.client.post("/v1/audio/speech", json=body)
        assert reply.status_code == 200, reply.text
        return reply.content

    @property
    def pids(self) -> list[int]:
        snapshot = self.application.server.snapshot
        assert snapshot is not None
        pool = snapshot.engine_clients["heart"]
        assert isinstance(pool, WorkerPool)
        return pool.pids


def configured(graph: Path, revision: str, folder: Path) -> ServerConfig:
    engine = LocalEngine(type="Onnx", onnx=OnnxConfig(family="Hibari", files={"model": graph}), revision=revision)
    model = ModelConfig(name="heart", engine=engine, weights_digest=f"files-{revision}", first_audio_timeout_seconds=60)
    return ServerConfig(
        models=(model,), cache=CacheConfig(enabled=True), storage=StorageConfig(directory=folder / "audio")
    )


def other_weights(graph: bytes) -> bytes:
    """The graph with some of its weights changed."""
    middle = len(graph) // 2
    return graph[:middle] + bytes(byte ^ 0x10 for byte in graph[middle : middle + 20_000]) + graph[middle + 20_000 :]


@pytest.fixture
async def voice(tmp_path: Path) -> AsyncIterator[Voice]:
    graph, volume = tmp_path / "claim" / "heart.onnx", MountedVolume(tmp_path / "server")
    graph.parent.mkdir()
    shutil.copy(GRAPH, graph)
    first = configured(graph, "1", tmp_path)
    volume.write(**{"server.json": first.model_dump_json(by_alias=True, exclude_none=True)})
    application = Application(Sources(first, QuotaConfig(), volume / "server.json"))
    await application.start()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(application.asgi), base_url="http://acme.test"
    ) as client:
        yield Voice(application, client, volume, graph)
    await application.stop()


async def test_other_files_under_the_same_names_are_served_after_a_reload_and_no_request_is_dropped(
    voice: Voice,
) -> None:
    """The process that reads a text finishes it with the weights that it has; what was cached is not served again."""
    before, (old,) = await voice.says(), voice.pids
    whole = await voice.says(LONG)
    fresh = voice.graph.with_suffix(".new")
    fresh.write_bytes(other_weights(voice.graph.read_bytes()))
    fresh.rename(voice.graph)
    assert await voice.says() == before
    await voice.reloads("1")
    assert voice.pids == [old], "an unchanged revision loads nothing"
    in_flight = asyncio.create_task(voice.says(f"{LONG}Indeed."))
    await asyncio.sleep(0)
    await voice.reloads("2")
    after = await voice.says()
    assert after != before
    assert voice.pids != [old]
    assert len(await in_flight) > len(whole)


async def test_files_that_are_broken_leave_the_ones_in_use(voice: Voice) -> None:
    before, pids = await voice.says(), voice.pids
    voice.graph.unlink()
    voice.graph.write_bytes(GRAPH.read_bytes()[:100_000])
    await voice.reloads("2")
    assert (await voice.says(), voice.pids) == (before, pids)
    loads = voice.application.server.metrics.config_loads
    assert loads.labels("server", "refused")._value.get() == 1
    voice.graph.unlink()
    voice.graph.write_bytes(GRAPH.read_bytes())
    await voice.reloads("3")
    assert voice.pids != pids
    assert await voice.says() == before
