"""A cache that others serve, and that may be away: then it is empty, and nobody waits for it twice."""

import asyncio

import structlog

from tts_server.cache.protocol import Cache, Recording
from tts_server.stores.breaker import Breaker

log = structlog.get_logger(__name__)

PUT_SECONDS = 5.0


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

    async def get(self, key: str) -> Recording | None:
        """See `Cache.get`."""
        if not self._breaker.admits():
            return None
        try:
            async with asyncio.timeout(self._seconds):
                recording = await self._cache.get(key)
        except self._failures as error:
            self._failed(error)
            return None
        self._breaker.succeeded()
        return recording

    async def put(self, key: str, recording: Recording) -> None:
        """See `Cache.put`. Nobody waits for it."""
        if not self._breaker.admits():
            return
        try:
            async with asyncio.timeout(PUT_SECONDS):
                await self._cache.put(key, recording)
        except self._failures as error:
            self._failed(error)
        else:
            self._breaker.succeeded()

    async def sweep(self) -> None:
        """See `Cache.sweep`."""
        try:
            await self._cache.sweep()
        except self._failures as error:
            self._failed(error)

    def close(self) -> None:
        """See `Cache.close`."""
        self._cache.close()

    def _failed(self, error: Exception) -> None:
        if self._breaker.closed:
            log.warning("cache is away: what it holds is spoken again", cache=self._name, reason=type(error).__name__)
        self._breaker.failed()
