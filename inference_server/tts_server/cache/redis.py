"""A cache in Redis or Valkey: small audio, for all replicas."""

import math
import time
from collections.abc import Callable

import structlog

from tts_server.cache.protocol import CachedReply
from tts_server.cache.serialization import encode_entry, unseal
from tts_server.redis.client import RedisClient

log = structlog.get_logger(__name__)


class SharedCache:
    """`Cache` over a client that others use, too. Raises `RedisError` and OSError: put it behind `Guarded`."""

    def __init__(self, redis: RedisClient, tenant: str, now: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._tenant = tenant
        self._now = now

    async def get(self, key: str) -> CachedReply | None:
        """See `Cache.get`."""
        data = await self._redis.get(self._name(key))
        if not isinstance(data, bytes):
            return None
        recording = unseal(key, data)
        if recording is None:
            log.warning("cached audio is broken: it is dropped", place="redis")
            await self._redis.delete(self._name(key))
        return None if recording is None or recording.expires <= self._now() else recording

    async def put(self, key: str, recording: CachedReply) -> None:
        """See `Cache.put`."""
        milliseconds = math.floor((recording.expires - self._now()) * 1000)
        if milliseconds > 0:
            await self._redis.set(self._name(key), encode_entry(key, recording), px=milliseconds)

    async def sweep(self) -> None:
        """See `Cache.sweep`: Redis does it."""

    def close(self) -> None:
        """See `Cache.close`."""

    def _name(self, key: str) -> str:
        return f"tts:{{{self._tenant}}}:cache:{key}"
