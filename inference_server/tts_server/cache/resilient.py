"""A cache that others serve, and that may be away: then it is empty, and nobody waits for it twice."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from tts_server.cache.protocol import Cache, CachedReply
from tts_server.circuit_breaker import Breaker

log = structlog.get_logger(__name__)

PUT_SECONDS = 5.0

R = TypeVar("R")


class Guarded:
    """`Cache` around one that raises `failures`, or is late: `get` takes `seconds` at most, then none for a while."""

    def __init__(
        self, cache: Cache, name: str, failures: tuple[type[Exception], ...], seconds: float, breaker: Breaker
    ) -> None:
        self._cache = cache
        self._name = name
        self._failures: tuple[type[Exception], ...] = (*failures, TimeoutError)
        self._seconds = seconds
        self._breaker = breaker

    async def get(self, key: str) -> CachedReply | None:
        """See `Cache.get`."""
        return await self._try(lambda: self._cache.get(key), self._seconds)

    async def put(self, key: str, recording: CachedReply) -> None:
        """See `Cache.put`. Nobody waits for it."""
        await self._try(lambda: self._cache.put(key, recording), PUT_SECONDS)

    async def sweep(self) -> None:
        """See `Cache.sweep`."""
        await self._try(self._cache.sweep, None)

    def close(self) -> None:
        """See `Cache.close`."""
        self._cache.close()

    async def _try(self, work: Callable[[], Awaitable[R]], seconds: float | None) -> R | None:
        """None where it is away."""
        permit = self._breaker.permit()
        if permit is None:
            return None
        try:
            async with asyncio.timeout(seconds):
                result = await work()
        except self._failures as error:
            if self._breaker.failed(permit) and not permit.probe:
                reason = type(error).__name__
                log.warning("cache is away: what it holds is spoken again", cache=self._name, reason=reason)
            return None
        except BaseException:
            self._breaker.abandoned(permit)
            raise
        self._breaker.succeeded(permit)
        return result
