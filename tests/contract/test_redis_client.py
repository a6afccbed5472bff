"""The client of Redis against a real server: credentials from a file, and a server that is not there."""

import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from redis.exceptions import RedisError

from tests.contract.counter_store import counter_store
from tests.contract.leaving import leaves_at_any_moment
from tts_server.admission.refresh_redis import RedisRefreshTokens
from tts_server.cache.protocol import Recording
from tts_server.cache.shared import SharedCache
from tts_server.config import RedisConfig
from tts_server.errors import InvalidGrant
from tts_server.redis_client import RedisClient, redis_client


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


async def test_a_server_that_never_answers_costs_a_quarter_of_a_second() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        client = redis_client(RedisConfig(url=f"redis://127.0.0.1:{silent.getsockname()[1]}"))
        begun = time.monotonic()
        with pytest.raises(RedisError):
            await client.get("a")
        assert time.monotonic() - begun < 1
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
    return await SharedCache(client, "acme").get("a")


async def remember(client: RedisClient) -> Any:
    return await SharedCache(client, "acme").put("a" * 64, Recording(b"sound", 1.0, time.time() + 60))


@pytest.mark.parametrize("ask", [refresh, renew, look_up, remember])
async def test_a_caller_that_leaves_at_any_moment_has_left(ask: Callable[[RedisClient], Awaitable[Any]]) -> None:
    """The library may lose a cancellation; the work of a caller that is gone would go on."""

    with counter_store() as server:
        client = redis_client(RedisConfig(url=server.address))
        await ask(client)  # there is a connection
        assert await leaves_at_any_moment(lambda: ask(client)) > 5
        assert await client.ping(), "whoever comes next gets its own answer"
        await client.aclose()
