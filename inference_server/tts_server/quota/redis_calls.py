"""Calls to Redis that end in time: with an answer, or with `StoreLost`."""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from functools import cache
from typing import Any

from redis.exceptions import NoScriptError, RedisError

from tts_server.quota.protocol import StoreLost
from tts_server.redis.client import RedisClient


class RedisCalls:
    """Whatever Redis does, a call takes `call_seconds` at most."""

    def __init__(self, client: RedisClient, call_seconds: float) -> None:
        self._client = client
        self._call_seconds = call_seconds

    async def run(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        """What a script returns. Raises `StoreLost`."""

        async def call() -> Any:
            try:
                return await self._client.evalsha(_digest(script), len(keys), *keys, *arguments)
            except NoScriptError:  # a server that has started since, or another one
                return await self._client.eval(script, len(keys), *keys, *arguments)

        return await self._in_time(call)

    async def fields(self, key: str) -> dict[str, str]:
        """Of a hash. Raises `StoreLost`."""

        async def call() -> Any:
            return await self._client.hgetall(key)

        found = await self._in_time(call)
        return {text(name): text(value) for name, value in found.items()}

    async def _in_time(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        try:
            async with asyncio.timeout(self._call_seconds):
                return await call()
        except (RedisError, OSError) as error:  # a timeout is one, too
            raise StoreLost(type(error).__name__) from error


def text(value: Any) -> str:
    """Whether or not the client decodes replies."""
    return value.decode() if isinstance(value, bytes) else str(value)


@cache
def _digest(script: str) -> str:
    """By which Redis knows a script that it has seen."""
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
