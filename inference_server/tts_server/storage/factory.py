"""Which store a configuration asks for."""

from tts_server.config.schema import CacheConfig, StorageConfig
from tts_server.storage.filesystem import FilesystemStore
from tts_server.storage.protocol import StorageLimits, Store
from tts_server.storage.s3 import S3Store

CACHE = ".cache"
"""Apart from what links lead to: the one must not push out the other."""


def open_store(storage: StorageConfig, tenant: str) -> Store:
    """Where audio is kept that callers fetch by link."""
    limits = store_limits(storage)
    if storage.s3 is not None:
        return S3Store(storage.s3, limits, tenant)
    return FilesystemStore(storage.directory, limits)


def open_cache_store(storage: StorageConfig, cache: CacheConfig, tenant: str) -> Store:
    """Where large audio is cached."""
    limits = StorageLimits(cache.ttl_seconds, cache.max_bytes)
    if storage.s3 is not None:
        prefix = f"{storage.s3.prefix.strip('/')}/{CACHE}"
        return S3Store(storage.s3.model_copy(update={"prefix": prefix}), limits, tenant)
    return FilesystemStore(storage.directory / CACHE, limits)


def store_limits(storage: StorageConfig) -> StorageLimits:
    """What the store keeps to, as the configuration is now."""
    return StorageLimits(storage.retention_seconds, storage.max_bytes)
