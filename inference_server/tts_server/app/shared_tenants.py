"""Keeps the tenants of a shared pool in line with their files: without a restart, and without touching the others."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from tts_server.app.tenant_state import SharedPool, tenant_state, update_tenant
from tts_server.cache.memory import CacheBudget
from tts_server.config.files import BrokenFile, FailedForNow
from tts_server.config.shared_tenants import SHARDS, Shard, SharedTenant, read_shard, shard_file, shard_of
from tts_server.config.watcher import Watcher
from tts_server.pipeline.server import ServerState
from tts_server.pipeline.tenants import Tenants

if TYPE_CHECKING:
    from tts_server.redis.client import RedisClient

log = structlog.get_logger(__name__)


class SharedTenants:
    """Reads the tenants' files, and keeps one `ServerState` for each tenant over the engines of the pool."""

    def __init__(self, pool: ServerState, directory: Path, redis: "RedisClient | None", cache_bytes: int) -> None:
        self._pool = pool
        self._directory = directory
        self._shared = SharedPool(pool, redis, CacheBudget(cache_bytes))
        self._shards: dict[int, Shard] = {}
        self._entries: dict[str, SharedTenant] = {}
        self._servers: dict[str, ServerState] = {}
        self._disputed: list[str] = []

    @property
    def budget(self) -> CacheBudget:
        """Memory for the caches of all tenants."""
        return self._shared.budget

    @property
    def servers(self) -> Mapping[str, ServerState]:
        """The state of each tenant by name."""
        return self._servers

    async def start(self, watcher: Watcher, count: Callable[[bool], None]) -> None:
        """Read every file, and watch it. `count` is told of each reading whether all of it was taken."""
        for number in range(SHARDS):
            watcher.watch(self._path(number), partial(self._reload, number, count))
            try:
                await self._reload(number, count)
            except FailedForNow as error:
                if self._path(number).exists():
                    log.warning("tenants' file not loaded; will retry", reason=str(error))
                    watcher.retry(self._path(number))
            except BrokenFile as error:
                # Without a stack trace: the file is the cause.
                log.error("tenants' file invalid; its tenants are not served", reason=str(error))  # noqa: TRY400
        log.info("tenants read", tenants=len(self._servers))

    def update(self) -> None:
        """Take over what has changed in the pool: its engines, signing keys and stores."""
        for name, server in self._servers.items():
            update_tenant(server, name, self._entries[name], self._shared)
        self._publish()

    async def sweep(self) -> None:
        """Delete expired entries of the caches. Raises `StorageUnavailable`."""
        for server in list(self._servers.values()):
            if server.cache is not None:
                await server.cache.sweep()

    def close(self) -> None:
        """Close every cache."""
        for server in self._servers.values():
            if server.cache is not None:
                server.cache.close()

    def _path(self, number: int) -> Path:
        return self._directory / shard_file(number)

    async def _reload(self, number: int, count: Callable[[bool], None]) -> None:
        """Take a file over. A volume replaces all files at once: one whose bytes are the same is left alone."""
        began = time.monotonic()
        known = self._shards.get(number, Shard())
        try:
            shard = read_shard(self._path(number), known.digest)
        except BrokenFile as error:
            if not isinstance(error, FailedForNow):
                count(False)
            raise
        if shard is None:
            return
        self._shards[number] = shard
        strangers = sorted(name for name in shard.tenants if shard_of(name) != number)
        for name in strangers:
            log.error("tenant ignored: it belongs to another file", tenant=name, file=shard_file(shard_of(name)))
        for name, reason in shard.broken.items():
            log.error("tenant's entry invalid", tenant=name, reason=reason, last_good_served=name in self._entries)
        wanted = {name: entry for name, entry in shard.tenants.items() if name not in strangers}
        held = {name for name in self._entries if shard_of(name) == number}
        left = held - wanted.keys() - shard.broken.keys()
        changed = {name for name, entry in wanted.items() if self._entries.get(name) != entry}
        for name in left:
            self._leave(name)
        for name in changed:
            self._take(name, wanted[name])
        self._publish()
        count(not (shard.broken or strangers))
        log.info(
            "tenants reloaded",
            joined=sorted(changed - held), changed=sorted(changed & held), left=sorted(left),
            tenants=len(self._servers), seconds=round(time.monotonic() - began, 4),
        )  # fmt: skip

    def _take(self, name: str, entry: SharedTenant) -> None:
        before = self._entries.get(name)
        if before is not None and before.uid != entry.uid:
            self._leave(name)  # a namesake: it inherits nothing
        self._entries[name] = entry
        server = self._servers.get(name)
        if server is None:
            server = self._servers[name] = tenant_state(self._pool, entry)
        update_tenant(server, name, entry, self._shared)

    def _leave(self, name: str) -> None:
        del self._entries[name]
        server = self._servers.pop(name)
        if server.cache is not None:
            server.cache.close()
        server.metrics.forget(name)

    def _publish(self) -> None:
        """Make the look-ups of requests current, all at once."""
        tenants = self._pool.tenants = Tenants(self._servers)
        if tenants.disputed and tenants.disputed != self._disputed:
            log.error("API key refused: several tenants have it", tenants=tenants.disputed)
        self._disputed = tenants.disputed
