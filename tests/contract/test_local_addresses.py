"""A name may mean any address: servers send nothing to this machine and its link where a tenant named the host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from tests.support.redis_server import counter_store
from tts_server.auth.jwks import FetchFailed, fetch_document
from tts_server.config.schema import RedisConfig, S3Config
from tts_server.errors import StorageUnavailable
from tts_server.redis.client import redis_client
from tts_server.storage.protocol import StorageLimits, new_key
from tts_server.storage.s3 import S3Store


@dataclass
class Listener:
    """A server that nobody should talk to: it keeps what it hears and hangs up."""

    port: int
    heard: list[bytes] = field(default_factory=list)
    connections: int = 0


@asynccontextmanager
async def listening() -> AsyncIterator[Listener]:
    listener = Listener(0)

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listener.connections += 1
        with suppress(ConnectionError):
            if first := await reader.read(100):
                listener.heard.append(first)
        writer.close()

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    listener.port = server.sockets[0].getsockname()[1]
    async with server:
        yield listener


async def asks_redis(port: int, tmp_path: Path, *, refuse: bool) -> None:
    file = tmp_path / "url"
    file.write_text(f"redis://acme:very-s3cret@localhost:{port}")
    client = redis_client(RedisConfig(url_file=file, refuse_local_addresses=refuse))
    try:
        with pytest.raises(RedisError) as failure:
            await client.get("a")
        assert refuse is ("loopback, link-local or metadata address" in str(failure.value))
        assert "s3cret" not in str(failure.value)
    finally:
        await client.aclose()


async def asks_s3(port: int, tmp_path: Path, *, refuse: bool, scheme: str = "http") -> None:
    for name in ("access", "secret"):
        (tmp_path / name).write_text("very-s3cret")
    config = S3Config(
        endpoint=f"{scheme}://localhost:{port}",
        bucket="speech",
        path_style=True,
        access_key_file=tmp_path / "access",
        secret_key_file=tmp_path / "secret",
        refuse_local_addresses=refuse,
    )
    store = S3Store(config, StorageLimits(60, 1000), "acme")
    with pytest.raises(StorageUnavailable) as failure:
        await store.keep(new_key("acme", "wav"), b"audio")
    store.close()
    assert refuse is ("LocalAddress" in str(failure.value))


async def asks_an_issuer(port: int, tmp_path: Path, *, refuse: bool) -> None:
    with pytest.raises(FetchFailed) as failure:
        await fetch_document(f"https://localhost:{port}/jwks.json", None, refuse_local=refuse)
    assert refuse is ("loopback, link-local or metadata address" in str(failure.value))


CLIENTS: dict[str, Callable[..., Awaitable[None]]] = {"Redis": asks_redis, "S3": asks_s3, "issuer": asks_an_issuer}


@pytest.mark.parametrize("ask", CLIENTS.values(), ids=CLIENTS)
async def test_nothing_is_sent_to_a_name_that_means_this_machine(
    ask: Callable[..., Awaitable[None]], tmp_path: Path
) -> None:
    async with listening() as listener:
        await ask(listener.port, tmp_path, refuse=True)
        assert listener.heard == []


@pytest.mark.parametrize("ask", CLIENTS.values(), ids=CLIENTS)
async def test_on_a_laptop_stores_may_be_on_this_machine(ask: Callable[..., Awaitable[None]], tmp_path: Path) -> None:
    async with listening() as listener:
        await ask(listener.port, tmp_path, refuse=False)
        assert listener.heard


async def test_a_redis_on_this_machine_is_used_where_nobody_refuses_it() -> None:
    with counter_store() as server:
        client = redis_client(RedisConfig(url=server.address))
        await client.set("a", "1")
        assert await client.get("a") == b"1"
        await client.aclose()
