"""A shared pool without processes: its tenants' files, and clients with keys of their own."""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import generate_latest

from tests.support.server_app import RunningApp, ToneClient, config, running_app, until
from tts_server.config.schema import AuthConfig, AuthMode, CacheConfig, ServerConfig
from tts_server.config.shared_tenants import shard_file, shard_of

ACME, BLUE = "team-acme.acme", "team-blue.blue"
CACHED = {"enabled": True}


def key_of(tenant: str) -> str:
    """The API key of a tenant of the tests."""
    return f"tts_key-of-{tenant}"


def digest(key: str) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(key.encode()).hexdigest()


def entry(tenant: str, **changes: Any) -> dict[str, Any]:
    """A tenant as the operator writes it, with one key."""
    return {"uid": f"uid-of-{tenant}", "keys": {"app": digest(key_of(tenant))}} | changes


def bearer(key: str) -> dict[str, str]:
    """The header of a credential."""
    return {"Authorization": f"Bearer {key}"}


def cache_of(reply: httpx.Response) -> str:
    """Whether the audio of a reply was cached: hit or miss."""
    assert reply.status_code == 200, reply.text
    return reply.headers["x-tts-cache"]


@dataclass
class Files:
    """The folder of the tenants' files."""

    directory: Path
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)

    def write(self, **changes: dict[str, Any] | None) -> None:
        """Write what changes: a tenant's entry, or None for one that leaves. Names have a dot: pass them by `**`."""
        for name, content in changes.items():
            if content is None:
                del self.entries[name]
            else:
                self.entries[name] = content
        self.directory.mkdir(exist_ok=True)
        for number in {shard_of(name) for name in changes}:
            content = {name: each for name, each in self.entries.items() if shard_of(name) == number}
            fresh = self.directory / "fresh"
            fresh.write_text(json.dumps({"tenants": content}))
            fresh.rename(self.directory / shard_file(number))


@dataclass
class Pool:
    """A running shared pool."""

    app: RunningApp
    files: Files

    async def asks(self, tenant: str, text: str = "Hello.", **fields: Any) -> httpx.Response:
        """A request for speech with the tenant's key."""
        body = {"model": "tone", "voice": "ann", "input": text, "response_format": "wav"} | fields
        return await self.app.client.post("/v1/audio/speech", json=body, headers=bearer(key_of(tenant)))

    async def gets(self, tenant: str, path: str) -> httpx.Response:
        """A request that reads with the tenant's key."""
        return await self.app.client.get(path, headers=bearer(key_of(tenant)))

    async def changes(self, **changes: dict[str, Any] | None) -> None:
        """Write the files, and return when the server has read them."""
        loads = self.loads
        self.files.write(**changes)
        await until(lambda: self.loads > loads)

    @property
    def loads(self) -> float:
        """Readings of files so far."""
        counter = self.app.application.server.metrics.config_loads
        return sum(s.value for m in counter.collect() for s in m.samples if s.labels.get("file") == "tenants")

    @property
    def metrics(self) -> str:
        return generate_latest(self.app.application.server.metrics.registry).decode()


def pool_config(folder: Path, **changes: Any) -> ServerConfig:
    """A shared pool of the models `tone` and `bass`."""
    settings: dict[str, Any] = {
        "tenant": "tts-system.tone", "role": "Shared", "tenants_directory": folder / "tenants",
        "auth": AuthConfig(modes=(AuthMode.API_KEY, AuthMode.JWT)), "model_aliases": {}, "voice_aliases": {},
        "language_routing": (), "cache": CacheConfig(max_bytes=1024 * 1024),
    }  # fmt: skip
    return config(folder, **settings | changes)


@asynccontextmanager
async def shared_pool(
    folder: Path,
    tenants: dict[str, dict[str, Any]],
    engine: ToneClient | None = None,
    *,
    replica: str = "",
    **changes: Any,
) -> AsyncIterator[Pool]:
    """A pool whose files have these tenants."""
    files = Files(folder / "tenants")
    files.directory.mkdir()
    files.write(**tenants)
    async with running_app(pool_config(folder, **changes), replica=replica, tone=engine or ToneClient()) as app:
        yield Pool(app, files)
