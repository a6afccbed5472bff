"""The client of Redis against a real server: credentials from a file, and a server that is not there."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from hack.cluster.certificates import Authority, Pair
from tests.support.cancellation import leaves_at_any_moment
from tests.support.redis_server import CounterStore, counter_store
from tts_server.auth.redis_refresh_tokens import RedisRefreshTokens
from tts_server.cache.protocol import CachedReply
from tts_server.cache.redis import RedisCache
from tts_server.config.schema import RedisConfig
from tts_server.errors import InvalidGrant
from tts_server.redis.client import RedisClient, redis_client


async def test_it_speaks_without_credentials() -> None:
    with counter_store() as server:
        client = redis_client(RedisConfig(url=server.address + "/3"))
        await client.set("a", "1")
        assert await client.get("a") == b"1"
        await client.aclose()


async def test_an_acl_user_of_few_commands_reads_its_password_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    with counter_store(user="acme on >s3cret ~acme:* resetchannels -@all +get +set") as server:
        client = redis_client(RedisConfig(url=server.address, username="acme", password_file=file))
        with pytest.raises(RedisError, match="cannot be read"):
            await client.get("acme:a")
        file.write_text("wrong\n")
        with pytest.raises(RedisError):
            await client.get("acme:a")
        file.write_text("s3cret\n")
        await client.set("acme:a", "1")
        assert await client.get("acme:a") == b"1"
        with pytest.raises(RedisError):
            await client.get("other:a")
        await client.aclose()


async def test_a_server_that_never_answers_costs_a_second() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        client = redis_client(RedisConfig(url=f"redis://127.0.0.1:{silent.getsockname()[1]}"))
        begun = time.monotonic()
        with pytest.raises(RedisError):
            await client.get("a")
        assert time.monotonic() - begun < 5
        await client.aclose()


async def test_it_goes_on_after_the_server_was_away() -> None:
    with counter_store() as server:
        client = redis_client(RedisConfig(url=server.address))
        await client.set("a", "1")
        server.kill()
        with pytest.raises(RedisError):
            await client.get("a")
        server.start()
        await client.set("a", "2")
        assert await client.get("a") == b"2"
        await client.aclose()


@pytest.mark.parametrize(
    "url", ["redis://user:secret@host", "http://host", "redis://", "redis://host?password=x", "redis://host/a b"]
)
def test_an_address_with_credentials_or_of_another_scheme_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        RedisConfig(url=url)


async def refresh(client: RedisClient) -> Any:
    return await RedisRefreshTokens(client, "uid-1").start("ann")


async def renew(client: RedisClient) -> Any:
    with suppress(InvalidGrant):
        await RedisRefreshTokens(client, "uid-1").renew(f"{'a' * 22}.{'b' * 43}")


async def look_up(client: RedisClient) -> Any:
    return await RedisCache(client, "acme").get("a")


async def remember(client: RedisClient) -> Any:
    return await RedisCache(client, "acme").put("a" * 64, CachedReply(b"sound", 1.0, time.time() + 60))


@pytest.mark.parametrize("ask", [refresh, renew, look_up, remember])
async def test_a_caller_that_leaves_at_any_moment_has_left(ask: Callable[[RedisClient], Awaitable[Any]]) -> None:
    """The library may lose a cancellation; the work of a caller that is gone would go on."""

    with counter_store() as server:
        client = redis_client(RedisConfig(url=server.address))
        await ask(client)  # there is a connection
        assert await leaves_at_any_moment(lambda: ask(client)) > 5
        assert await client.ping(), "whoever comes next gets its own answer"
        await client.aclose()


def as_user(server: CounterStore, password: str) -> str:
    return server.address.replace("//", f"//acme:{password}@")


async def test_a_whole_address_in_a_file_may_come_late_and_its_password_may_rotate(tmp_path: Path) -> None:
    file = tmp_path / "url"
    with counter_store(user="acme on >s3cret ~acme:* resetchannels -@all +get +set +select") as server:
        client = redis_client(RedisConfig(url_file=file))
        with pytest.raises(RedisError, match=r"url cannot be read: No such file"):
            await client.get("acme:a")
        file.write_text(f"{as_user(server, 's3cret')}/3\n")
        await client.set("acme:a", "1")
        admin = redis_client(RedisConfig(url=f"{server.address}/3"))
        assert await admin.get("acme:a") == b"1"
        await admin.acl_setuser("acme", enabled=True, reset_passwords=True, passwords=["+rotated"])
        assert await client.get("acme:a") == b"1"  # on the connection that there is
        await client.connection_pool.disconnect()
        with pytest.raises(RedisError):
            await client.get("acme:a")
        file.write_text(as_user(server, "rotated"))
        await client.set("acme:b", "2")
        await admin.aclose()
        await client.aclose()


async def test_another_address_in_the_file_is_followed_when_the_connection_ends(tmp_path: Path) -> None:
    file = tmp_path / "url"
    with counter_store() as server, counter_store() as other:
        file.write_text(server.address)
        client = redis_client(RedisConfig(url_file=file))
        await client.set("a", "here")
        file.write_text(other.address)
        server.kill()
        with pytest.raises(RedisError):  # what is sent on a dead connection is not sent again
            await client.get("a")
        assert await client.get("a") is None
        await client.aclose()


@pytest.mark.parametrize(
    "content",
    ["", "http://acme:s3cret@host", "redis://acme:s3cret@host:s3cret", "redis://acme:s3cret@", "\ud800"],
)
async def test_what_is_wrong_with_the_file_is_told_once_without_what_is_in_it(tmp_path: Path, content: str) -> None:
    file = tmp_path / "url"
    file.write_bytes(content.encode(errors="surrogatepass"))
    client = redis_client(RedisConfig(url_file=file))
    with capture_logs() as logs:
        for _ in range(2):
            with pytest.raises(RedisError) as caught:
                await client.get("a")
    assert str(file) in str(caught.value)
    assert [entry["event"] for entry in logs] == ["Redis address invalid"]
    assert "s3cret" not in f"{caught.value}{logs}"
    await client.aclose()


async def test_a_server_that_is_gone_is_told_without_the_password(tmp_path: Path) -> None:
    file = tmp_path / "url"
    with counter_store() as server:
        file.write_text(as_user(server, "s3cret"))
    client = redis_client(RedisConfig(url_file=file))
    with pytest.raises(RedisError) as caught:
        await client.get("a")
    assert str(file) in str(caught.value)
    assert "s3cret" not in repr(caught.value)
    await client.aclose()


async def test_tls_trusts_the_certificates_beside_the_address(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("redis", "redis", addresses=["127.0.0.1"])
    file, trusted = tmp_path / "url", tmp_path / "trusted.crt"
    with counter_store() as server:
        async with behind_tls(pair, server.port) as port:
            file.write_text(f"rediss://127.0.0.1:{port}")
            client = redis_client(RedisConfig(url_file=file, ca_file=trusted))
            with pytest.raises(RedisError):  # the system's certificates do not vouch for it
                await client.get("a")
            trusted.write_text("no certificate")
            with pytest.raises(RedisError, match=r"trusted\.crt holds no certificates"):
                await client.get("a")
            trusted.write_bytes(authority.pair.certificate.read_bytes())
            await client.set("a", "1")
            assert await client.get("a") == b"1"
            await client.aclose()
            configured = redis_client(RedisConfig(url=f"rediss://127.0.0.1:{port}", ca_file=trusted))
            assert await configured.get("a") == b"1"
            await configured.aclose()


@asynccontextmanager
async def behind_tls(pair: Pair, port: int) -> AsyncIterator[int]:
    """The port of something that ends TLS before the server at `port`, which speaks none."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    relays: set[asyncio.Task[None]] = set()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        relays.update(asyncio.create_task(relay(*pair)) for pair in ((reader, inner_writer), (inner_reader, writer)))

    listener = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    try:
        yield int(listener.sockets[0].getsockname()[1])
    finally:
        listener.close()
        await asyncio.gather(*relays, return_exceptions=True)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "set either url or urlFile"),
        ({"url": "redis://host", "url_file": Path("url")}, "set either url or urlFile"),
        ({"url_file": Path("url"), "username": "acme"}, "remove username and passwordFile"),
        ({"url_file": Path("url"), "password_file": Path("password")}, "remove username and passwordFile"),
    ],
    ids=str,
)
def test_there_is_one_address(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RedisConfig.model_validate(fields)
