"""Which cache a configuration asks for."""

from redis.exceptions import RedisError

from tts_server.cache.memory import CacheLimits, MemoryCache
from tts_server.cache.redis import SharedCache
from tts_server.cache.resilient import Guarded
from tts_server.cache.storage import StoredCache
from tts_server.cache.tiered import TieredCache
from tts_server.circuit_breaker import SERVICE, Breaker
from tts_server.config.schema import ServerConfig
from tts_server.errors import StorageUnavailable
from tts_server.redis.client import RedisClient
from tts_server.storage.factory import open_cache_store

REDIS_SECONDS = 0.25
"""A request waits so long for small audio, once: then Redis is away."""
STORE_SECONDS = 0.5
"""And so long for large audio, which takes longer to fetch, and much longer to speak."""


def open_cache(config: ServerConfig, redis: RedisClient | None) -> TieredCache | None:
    """Memory, and behind it what replicas share. None where nothing is cached."""
    wanted = config.cache
    if not wanted.enabled:
        return None
    store = StoredCache(open_cache_store(config.storage, wanted, config.tenant), config.tenant)
    small = None
    if redis is not None:
        shared = SharedCache(redis, config.tenant_uid or config.tenant)
        small = Guarded(shared, "redis", (RedisError, OSError), REDIS_SECONDS, Breaker(limits=SERVICE))
    return TieredCache(
        MemoryCache(CacheLimits(wanted.max_entries, wanted.max_bytes)),
        small,
        Guarded(store, "store", (StorageUnavailable, OSError), STORE_SECONDS, Breaker(limits=SERVICE)),
        wanted.small_bytes,
    )
