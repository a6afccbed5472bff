"""A cache whose store may become unavailable: it counts as empty then, and no request waits for it a second time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from tts_server.cache.protocol import Cache, CachedReply
from tts_server.circuit_breaker import Breaker

log = structlog.get_logger(__name__)

PUT_SECONDS = 5.0

R = TypeVar("R")


class ResilientCache:
    """`Cache` around one that may raise `failures` or be late: `get` takes `seconds` at most."""

    def __init__(
        self, cache: Cache, name: str, failures: tuple[type[Exception], ...], seconds: float, breaker: Breaker
    ) -> None:
        self._cache = cache
        self._name = name
        self._failures: tuple[type[Exception], ...] = (*failures, TimeoutError)
        self._seconds = seconds
        self._breaker = breaker

    async def get(self, key: str) -> CachedReply | None:
        return await self._call(lambda: self._cache.get(key), self._seconds)

    async def put(self, key: str, entry: CachedReply) -> None:
        await self._call(lambda: self._cache.put(key, entry), PUT_SECONDS)

    async def sweep(self) -> None:
        await self._call(self._cache.sweep, None)

    def close(self) -> None:
        self._cache.close()

    async def _call(self, call: Callable[[], Awaitable[R]], seconds: float | None) -> R | None:
        """Runs a cache call; None if the cache is unavailable."""
        permit = self._breaker.permit()
        if permit is None:
            return None
        try:
            async with asyncio.timeout(seconds):
                result = await call()
        except self._failures as error:
            if self._breaker.failed(permit) and not permit.probe:
                reason = type(error).__name__
                log.warning("cache unavailable; synthesizing instead", cache=self._name, reason=reason)
            return None
        except BaseException:
            self._breaker.abandoned(permit)
            raise
        self._breaker.succeeded(permit)
        return result
