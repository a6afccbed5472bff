"""Calls to Redis that end within a time limit, with a reply or with `StoreUnavailable`."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from redis.exceptions import NoScriptError, RedisError

from tts_server.quota.protocol import StoreUnavailable
from tts_server.quota.redis_codec import text
from tts_server.quota.redis_scripts import Script
from tts_server.redis.client import RedisClient


class RedisCalls:
    """Each call takes `call_seconds` at most, and raises `StoreUnavailable` on every failure."""

    def __init__(self, client: RedisClient, call_seconds: float) -> None:
        self._client = client
        self._call_seconds = call_seconds

    async def run(
        self, script: Script, keys: Mapping[str, str], arg: Mapping[str, Any], more_keys: Sequence[str] = ()
    ) -> Any:
        """Run a script with keys and arguments by name; returns its reply."""
        ordered = script.order(keys, more_keys)
        arguments = script.encode(arg)

        async def call() -> Any:
            try:
                return await self._client.evalsha(script.sha1, len(ordered), *ordered, *arguments)
            except NoScriptError:  # the server was restarted, or is another one
                return await self._client.eval(script.text, len(ordered), *ordered, *arguments)

        return await self._in_time(call)

    async def fields(self, key: str) -> dict[str, str]:
        """The fields of a hash."""

        async def call() -> Any:
            return await self._client.hgetall(key)

        fields = await self._in_time(call)
        return {text(name): text(value) for name, value in fields.items()}

    async def _in_time(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        try:
            async with asyncio.timeout(self._call_seconds):
                return await call()
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            raise StoreUnavailable(type(error).__name__) from error
