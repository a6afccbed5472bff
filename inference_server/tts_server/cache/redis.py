"""The cache in Redis or Valkey: small audio, shared by all replicas."""

import math
import time
from collections.abc import Callable

import structlog

from tts_server.cache.protocol import CachedReply
from tts_server.cache.serialization import decode_entry, encode_entry
from tts_server.redis.client import RedisClient

log = structlog.get_logger(__name__)


class RedisCache:
    """`Cache` over a shared client. Raises `RedisError` and OSError: wrap it in a `ResilientCache`."""

    def __init__(self, redis: RedisClient, tenant: str, now: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._tenant = tenant
        self._now = now

    async def get(self, key: str) -> CachedReply | None:
        data = await self._redis.get(self._name(key))
        if not isinstance(data, bytes):
            return None
        entry = decode_entry(key, data)
        if entry is None:
            log.warning("cached audio corrupt; deleted", place="redis")
            await self._redis.delete(self._name(key))
        return None if entry is None or entry.expires <= self._now() else entry

    async def put(self, key: str, entry: CachedReply) -> None:
        milliseconds = math.floor((entry.expires - self._now()) * 1000)
        if milliseconds > 0:
            await self._redis.set(self._name(key), encode_entry(key, entry), px=milliseconds)

    async def sweep(self) -> None:
        pass  # Redis expires keys itself

    def close(self) -> None:
        pass  # the client is closed by its owner

    def _name(self, key: str) -> str:
        return f"tts:{{{self._tenant}}}:cache:{key}"
