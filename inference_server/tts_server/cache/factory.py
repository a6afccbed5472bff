"""Opens the cache that a configuration describes."""

from typing import TYPE_CHECKING

from tts_server.cache.memory import CacheBudget, CacheLimits, MemoryCache
from tts_server.cache.resilient import ResilientCache
from tts_server.cache.storage import StorageCache
from tts_server.cache.tiered import TieredCache
from tts_server.circuit_breaker import SERVICE, Breaker
from tts_server.config.schema import ServerConfig
from tts_server.errors import StorageUnavailable
from tts_server.storage.factory import open_cache_store

if TYPE_CHECKING:
    from tts_server.redis.client import RedisClient

REDIS_SECONDS = 0.25
"""Time limit of a look-up of small audio; a Redis that takes longer counts as unavailable."""
STORE_SECONDS = 0.5
"""Time limit of a look-up of large audio, which takes longer to fetch, and much longer to synthesize."""


def open_cache(config: ServerConfig, redis: "RedisClient | None") -> TieredCache | None:
    """Memory, and behind it the tiers that replicas share; None if the cache is disabled."""
    settings = config.cache
    if not settings.enabled:
        return None
    store = StorageCache(open_cache_store(config.storage, settings, config.tenant), config.tenant)
    return TieredCache(
        MemoryCache(CacheLimits(settings.max_entries, settings.max_bytes)),
        None if redis is None else _redis_cache(redis, config.tenant_uid or config.tenant),
        ResilientCache(store, "store", (StorageUnavailable, OSError), STORE_SECONDS, Breaker(limits=SERVICE)),
        settings.small_bytes,
    )


def open_tenant_cache(config: ServerConfig, redis: "RedisClient | None", budget: CacheBudget) -> TieredCache | None:
    """The cache of one tenant of a shared pool; None if the tenant has it disabled.

    Large audio stays in memory: in a folder, or under one prefix, the tenants would evict each other's.
    """
    settings = config.cache
    if not settings.enabled:
        return None
    memory = MemoryCache(CacheLimits(settings.max_entries, settings.max_bytes), budget=budget)
    small = None if redis is None else _redis_cache(redis, config.tenant_uid)
    return TieredCache(memory, small, None, settings.small_bytes)


def _redis_cache(redis: "RedisClient", tenant: str) -> ResilientCache:
    from redis.exceptions import RedisError

    from tts_server.cache.redis import RedisCache

    return ResilientCache(
        RedisCache(redis, tenant), "redis", (RedisError, OSError), REDIS_SECONDS, Breaker(limits=SERVICE)
    )
