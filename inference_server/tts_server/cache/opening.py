"""Which cache a configuration asks for."""

from tts_server.cache.guarded import Guarded
from tts_server.cache.memory import CacheLimits, MemoryCache
from tts_server.cache.stored import StoredCache
from tts_server.cache.tiered import TieredCache
from tts_server.config import ServerConfig
from tts_server.errors import StorageUnavailable
from tts_server.stores.breaker import Breaker
from tts_server.stores.opening import open_cache_store

STORE_SECONDS = 0.5
"""A request waits so long for large audio, once; speaking it again begins sooner than that anyway."""


def open_cache(config: ServerConfig) -> TieredCache | None:
    """Memory, and behind it what replicas share. None where nothing is cached."""
    wanted = config.cache
    if not wanted.enabled:
        return None
    memory = MemoryCache(CacheLimits(wanted.max_entries, wanted.max_bytes))
    store = open_cache_store(config.storage, wanted, config.tenant)
    large = Guarded(StoredCache(store, config.tenant), "store", (StorageUnavailable, OSError), STORE_SECONDS, Breaker())
    return TieredCache(memory, None, large, wanted.small_bytes)
