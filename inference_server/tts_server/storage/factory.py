"""Opens the stores that a configuration describes."""

from tts_server.config.schema import CacheConfig, S3Config, StorageConfig
from tts_server.storage.filesystem import FilesystemStore
from tts_server.storage.protocol import StorageLimits, Store

CACHE = ".cache"
"""Cached audio has its own folder and its own limits: it must not evict audio that links point to."""


def open_store(storage: StorageConfig, tenant: str) -> Store:
    """The store of audio that clients fetch by link; a shared pool's, of all its tenants, has no `tenant`."""
    limits = store_limits(storage)
    if storage.s3 is not None:
        return _object_store(storage.s3, limits, tenant)
    return FilesystemStore(storage.directory, limits)


def open_cache_store(storage: StorageConfig, cache: CacheConfig, tenant: str) -> Store:
    """The store of large cached audio."""
    limits = StorageLimits(cache.ttl_seconds, cache.max_bytes)
    if storage.s3 is not None:
        prefix = f"{storage.s3.prefix.strip('/')}/{CACHE}"
        return _object_store(storage.s3.model_copy(update={"prefix": prefix}), limits, tenant)
    return FilesystemStore(storage.directory / CACHE, limits)


def store_limits(storage: StorageConfig) -> StorageLimits:
    """The limits of the store of links."""
    return StorageLimits(storage.retention_seconds, storage.max_bytes)


def _object_store(s3: S3Config, limits: StorageLimits, tenant: str) -> Store:
    from tts_server.storage.s3 import S3Store  # a tenth of the time to start, which folders do not need

    return S3Store(s3, limits, tenant)
