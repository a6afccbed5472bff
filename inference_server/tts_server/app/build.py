"""The composition root: builds the application from two files and some folders, and reloads them."""

import asyncio
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from tts_server.app.asgi import asgi
from tts_server.app.engine_python import engine_python
from tts_server.app.shared_tenants import SharedTenants
from tts_server.auth.authenticate import read_digests, read_tenants, read_token
from tts_server.cache.factory import open_cache
from tts_server.config.api_keys import shown_name
from tts_server.config.files import BrokenFile, FailedForNow, read_model
from tts_server.config.schema import (
    LocalEngine,
    ModelConfig,
    PoolEngine,
    Precision,
    QuotaConfig,
    RedisConfig,
    ServerConfig,
)
from tts_server.config.watcher import Reload, Signature, Watcher
from tts_server.errors import EngineError, EngineUnavailable, StorageUnavailable
from tts_server.inference.client import EngineClient
from tts_server.inference.pool.worker_pool import LOAD_SECONDS, WorkerPool
from tts_server.inference.precisions import PrecisionRouter
from tts_server.inference.remote import RemoteEngineClient
from tts_server.inference.speech_server.client import ServerHooks
from tts_server.inference.speech_server.factory import speech_server_client
from tts_server.malloc_tuning import give_back_freed_memory
from tts_server.pipeline.server import MakeEngineClient, ServerState, quota_key
from tts_server.pipeline.tenants import Tenants
from tts_server.quota.admission import Admission
from tts_server.quota.memory_quota import MemoryQuota
from tts_server.quota.resilient_quota import ResilientQuota
from tts_server.routing.catalogue import CatalogueError
from tts_server.scheduling.batching import BatchPolicy
from tts_server.storage.factory import open_store, store_limits
from tts_server.storage.peers import Peers, place_of
from tts_server.storage.signed_links import Links, link_secret

if TYPE_CHECKING:
    from tts_server.redis.client import RedisClient

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 60.0
LIMITS_SECONDS = 10.0
GIVE_BACK_SECONDS = 20.0
"""How long memory that a burst of requests has needed stays with an idle server."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Configuration and its files; without a file it never changes."""

    config: ServerConfig
    quota: QuotaConfig
    config_file: Path | None = None
    quota_file: Path | None = None
    replica: str = ""
    """IP address at which other replicas reach this one; empty where there are none."""
    seen: Mapping[Path, Signature] = field(default_factory=dict)
    """Signatures of the files from just before they were read."""


class Application:
    """Server, ASGI application, and the tasks that keep both up to date. `start` and `stop` it."""

    def __init__(self, sources: Sources, make_engine_client: MakeEngineClient | None = None) -> None:
        config = sources.config
        self._sources = sources
        counters = MemoryQuota(time.monotonic)
        self._redis, self._guard = _shared_counters(config.redis, counters)
        self.server = ServerState(
            make_engine_client=make_engine_client or self._engine_client,
            quota=Admission(self._guard or counters, sources.quota, config.max_replicas),
            store=open_store(config.storage, _owner(config)),
            links=Links(
                link_secret(config.storage.directory),
                config.tenant_uid,
                place=place_of(sources.replica) if sources.replica else "",
            ),
        )
        self._tenants = self._shared_tenants(config)
        self._open_cache(config)
        self.server.peers = _peers(config)
        self.asgi = asgi(self.server)
        self.watcher = Watcher(seen=sources.seen)
        self._config = config
        self._identity_lock = asyncio.Lock()
        """Held while folders are read in threads, so that the last reading wins."""
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Return when the engines are loaded and warm. Raises `EngineError` and `CatalogueError`."""
        sources = self._sources
        if sources.config_file is not None:
            self.watcher.watch(sources.config_file, self._reload_config)
            self._count_from_zero("server")
        if sources.quota_file is not None:
            self.watcher.watch(sources.quota_file, self._reload_quota)
            self._count_from_zero("quota")
        self._watch_keys(self._config)
        await self._reload_keys()
        await self._reload_identity()
        await self.server.show(self._config)
        if self._tenants is not None:
            self._count_from_zero("tenants")
            await self._tenants.start(self.watcher, self._count_tenants)
        running = (self.watcher.run(), self._sweep(), self._give_back_memory())
        self._tasks = [asyncio.create_task(each) for each in running]
        if self._guard is not None:
            self._guard.notify(self.server.metrics.quota_store_up.labels(self._config.tenant).set)
            self._tasks.append(asyncio.create_task(self._guard.run()))
        self._tasks.append(asyncio.create_task(self._watch_limits()))

    async def stop(self) -> None:
        """Stop everything, engines last."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.server.stop()
        self.server.store.close()
        if self.server.cache is not None:
            self.server.cache.close()
        if self._tenants is not None:
            self._tenants.close()
        if self.server.peers is not None:
            await self.server.peers.close()
        await self.server.identity.close()
        if self._guard is not None:
            await self._guard.close()
        if self._redis is not None:
            await self._redis.aclose()
        await self.server.tracing.close()

    async def _reload_config(self) -> None:
        assert self._sources.config_file is not None  # noqa: S101 - it is watched
        with self._counted("server"):
            config = read_model(self._sources.config_file, ServerConfig)
            await self._apply(config)
        log.info("configuration reloaded", models=[model.name for model in config.models])

    async def _apply(self, config: ServerConfig) -> None:
        """Serve a configuration. Safe to call again after a failure. Raises `BrokenFile` and `FailedForNow`."""
        try:
            await self.server.show(config)
        except (CatalogueError, EngineUnavailable) as error:
            raise BrokenFile(str(error)) from None
        except EngineError as error:  # it may have lacked a process, memory or time
            raise FailedForNow(str(error)) from None
        if config.redis != self._config.redis:
            log.warning("redis change takes effect at the next restart")
        await self._change_storage(config)
        self._watch_keys(config)
        self._config = config
        await self._reload_keys()
        await self._reload_identity()

    def _shared_tenants(self, config: ServerConfig) -> SharedTenants | None:
        if config.tenants_directory is None:
            return None
        tenants = SharedTenants(self.server, config.tenants_directory, self._redis, config.cache.max_bytes)
        self.server.tenants = Tenants({})  # from the first request on: this pool has no callers of its own
        self.server.on_snapshot = tenants.update
        return tenants

    def _count_tenants(self, taken: bool) -> None:
        self.server.metrics.config_loads.labels("tenants", "taken" if taken else "refused").inc()

    def _update_tenants(self) -> None:
        """Hand the pool's stores and keys on to its tenants."""
        if self._tenants is not None:
            self._tenants.update()

    def _count_from_zero(self, file: str) -> None:
        """Export both outcomes of a file's loads: `increase()` does not see a counter that begins at 1."""
        for outcome in ("taken", "refused"):
            self.server.metrics.config_loads.labels(file, outcome)

    @contextmanager
    def _counted(self, file: str) -> Iterator[None]:
        """Count a reload by its outcome, whatever the failure is."""
        loads = self.server.metrics.config_loads
        try:
            yield
        except Exception:
            loads.labels(file, "refused").inc()
            raise
        loads.labels(file, "taken").inc()

    async def _change_storage(self, config: ServerConfig) -> None:
        """Switch to another store for new audio; links to local audio in the old one end with it."""
        store = self.server.store
        if config.storage.s3 != self._config.storage.s3:
            self.server.store = open_store(config.storage, _owner(config))
            store.close()
        else:
            store.limits = store_limits(config.storage)
        if (config.cache, config.storage.s3) != (self._config.cache, self._config.storage.s3):
            self._open_cache(config)
        if config.storage.peers_url != self._config.storage.peers_url:
            old, self.server.peers = self.server.peers, _peers(config)
            if old is not None:
                await old.close()
        self._update_tenants()

    def _open_cache(self, config: ServerConfig) -> None:
        server, old = self.server, self.server.cache
        if self._tenants is not None:  # the tenants have caches of their own, within one budget
            budget = self._tenants.budget
            budget.max_bytes = config.cache.max_bytes
            server.metrics.cache_bytes.set_function(lambda: budget.bytes)
            server.metrics.cache_entries.set_function(lambda: budget.entries)
            return
        cache = server.cache = open_cache(config, self._redis)
        server.metrics.cache_bytes.set_function(lambda: cache.memory.bytes if cache else 0)
        server.metrics.cache_entries.set_function(lambda: len(cache.memory) if cache else 0)
        if old is not None:
            old.close()

    async def _reload_quota(self) -> None:
        assert self._sources.quota_file is not None  # noqa: S101 - it is watched
        with self._counted("quota"):
            quota = read_model(self._sources.quota_file, QuotaConfig)
            self.server.limit(quota)
        log.info("quota reloaded", **quota.model_dump())

    def _watch_keys(self, config: ServerConfig) -> None:
        folders = self._secret_folders(config)
        for folder in self._secret_folders(self._config).keys() - folders.keys():
            self.watcher.forget(folder)
        others = {tenant.internal_directory for tenant in config.tenants}
        for folder, reload in folders.items():  # the folder of another tenant goes with that tenant
            self.watcher.watch(folder, reload, report_missing=folder in others)

    def _secret_folders(self, config: ServerConfig) -> dict[Path, Reload]:
        auth = config.auth
        reloads = {
            auth.keys_directory: self._reload_keys,
            auth.internal_directory: self._reload_keys,
            auth.signing_directory: self._reload_signing_keys,
        }
        reloads |= {tenant.internal_directory: self._reload_keys for tenant in config.tenants}
        return {folder: reload for folder, reload in reloads.items() if folder is not None}

    async def _reload_keys(self) -> None:
        auth = self._config.auth
        # First, so that a tenant is rejected in time even if this pool's own folders are invalid.
        self.server.keyring = replace(self.server.keyring, tenants=read_tenants(_internal_folders(self._config)))
        try:
            digests = read_digests(auth.keys_directory) if auth.keys_directory else {}
            token = read_token(auth.internal_directory) if auth.internal_directory else None
        except OSError as error:
            raise FailedForNow(error.strerror or "not readable") from None
        self.server.keyring = replace(self.server.keyring, digests=digests, token=token)
        if auth.keys_directory:
            log.info(
                "API keys reloaded",
                keys=[shown_name(name, position) for position, name in enumerate(sorted(digests), 1)],
            )

    async def _watch_limits(self) -> None:
        """Update metrics of limits periodically: limits recover without requests, which update them otherwise."""
        while True:
            await asyncio.sleep(LIMITS_SECONDS)
            await self.show_limits()

    async def show_limits(self) -> None:
        """Update the metrics of limits. A Member enforces none, and its pod may not reach the store."""
        if self._config.role == "Member":
            return
        if self._tenants is not None:
            for server in list(self._tenants.servers.values()):
                if server.exports_limits and server.snapshot is not None:
                    await self._show_limits(server, server.snapshot.config)
            return
        await self._show_limits(self.server, self._config)

    async def _show_limits(self, server: ServerState, config: ServerConfig) -> None:
        remaining = await server.admission.remaining(quota_key(config), "")
        server.set_remaining(config.tenant, remaining)
        server.forget_limits(config.tenant, remaining)

    async def _reload_signing_keys(self) -> None:
        async with self._identity_lock:
            await self.server.identity.take_signing_keys(self._config)
        self._update_tenants()
        if self.server.identity.current_kid:
            log.info("signing keys reloaded", kid=self.server.identity.current_kid)

    async def _reload_identity(self) -> None:
        """Reload everything but API keys. An invalid folder of signing keys disables tokens only, not API keys."""
        identity = self.server.identity
        async with self._identity_lock:
            await identity.take(self._config, self._redis)
            try:
                await identity.take_signing_keys(self._config)
            except BrokenFile as error:
                # Without a stack trace: the folder is the cause.
                log.error("signing keys invalid", reason=str(error))  # noqa: TRY400
        self._update_tenants()

    async def _sweep(self) -> None:
        while True:
            try:
                await self.server.store.sweep()
                if self.server.cache is not None:
                    await self.server.cache.sweep()
                if self._tenants is not None:
                    await self._tenants.sweep()
            except (OSError, StorageUnavailable) as error:
                log.warning("expired audio not deleted", reason=str(error))
            await asyncio.sleep(SWEEP_SECONDS)

    async def _give_back_memory(self) -> None:
        while True:
            await asyncio.sleep(GIVE_BACK_SECONDS)
            await asyncio.to_thread(give_back_freed_memory)

    def _engine_client(self, model: ModelConfig) -> EngineClient:
        engine, metrics = model.engine, self.server.metrics
        if isinstance(engine, LocalEngine):
            pools: dict[str, EngineClient] = {
                precision: self._worker_pool(model, engine, precision) for precision in _computed_precisions(model)
            }
            return pools[model.precision] if len(pools) == 1 else PrecisionRouter(pools, model.precision)
        if isinstance(engine, PoolEngine):
            return RemoteEngineClient(
                engine.url,
                model.name,
                token=self._token,
                first_audio_timeout_seconds=model.first_audio_timeout_seconds,
            )
        return speech_server_client(
            engine,
            model.name,
            first_audio_timeout_seconds=model.first_audio_timeout_seconds,
            hooks=ServerHooks(
                on_outcome=lambda outcome: metrics.remote_requests.labels(model.name, outcome).inc(),
                on_wait=lambda tenant, seconds: metrics.queue_wait_of(tenant, model.name).observe(seconds),
                on_depth=lambda tenant, depth: metrics.queue_depth_of(tenant, model.name).set(depth),
            ),
        )

    def _worker_pool(self, model: ModelConfig, engine: LocalEngine, precision: Precision) -> WorkerPool:
        metrics = self.server.metrics
        restarts = metrics.engine_restarts
        return WorkerPool(
            engine.type.lower(),
            processes=engine.processes,
            threads=engine.threads,
            options=engine.options_of(precision),
            python=engine_python(engine, os.environ),
            load_timeout_seconds=engine.load_seconds or LOAD_SECONDS,
            memory_limit_bytes=engine.memory_limit_bytes,
            first_audio_timeout_seconds=model.first_audio_timeout_seconds,
            on_restart=lambda reason: restarts.labels(model.name, reason).inc(),
            on_wait=lambda tenant, seconds: metrics.queue_wait_of(tenant, model.name).observe(seconds),
            batching=_batch_policy(model),
            on_batch=metrics.batch_size.labels(model.name).observe,
            on_depth=lambda tenant, depth: metrics.queue_depth_of(tenant, model.name).set(depth),
            normalized_languages=engine.normalized_languages,
            on_unread=lambda reason: metrics.unread_numbers.labels(model.name, reason).inc(),
        )

    def _token(self) -> str | None:
        token = self.server.keyring.token
        return None if token is None else token.decode("ascii", "replace")


def _shared_counters(
    config: RedisConfig | None, counters: MemoryQuota
) -> tuple["RedisClient | None", ResilientQuota | None]:
    """Return the client of Redis and the limits that replicas share in it; None without Redis.

    Without Redis neither is imported: the library would be a tenth of the time to start.
    """
    if config is None:
        return None, None
    from tts_server.quota.redis_quota import RedisQuota
    from tts_server.redis.client import redis_client

    client = redis_client(config)
    return client, ResilientQuota(RedisQuota(client), counters, time.monotonic)


def _owner(config: ServerConfig) -> str:
    """Return the tenant whose audio the store holds; empty for a shared pool, which holds that of all its tenants."""
    return "" if config.role == "Shared" else config.tenant


def _internal_folders(config: ServerConfig) -> dict[str, Path]:
    """Return the credential folders of the tenants that a Member serves, its own first."""
    if config.role != "Member":
        return {}
    own = config.auth.internal_directory
    return ({config.tenant: own} if own is not None else {}) | {
        tenant.name: tenant.internal_directory for tenant in config.tenants
    }


def _computed_precisions(model: ModelConfig) -> list[Precision]:
    """Return the precisions that need processes of their own: the default, and allowed ones with files of their own."""
    engine = model.engine
    own = engine.onnx.precision_files if isinstance(engine, LocalEngine) and engine.onnx is not None else {}
    return list(dict.fromkeys([model.precision, *(each for each in model.allowed_precisions if each in own)]))


def _batch_policy(model: ModelConfig) -> BatchPolicy | None:
    batching = model.batching
    return None if batching is None else BatchPolicy(batching.max_size, batching.max_wait_milliseconds / 1000)


def _peers(config: ServerConfig) -> Peers | None:
    url = config.storage.peers_url
    return Peers(url) if url is not None else None
