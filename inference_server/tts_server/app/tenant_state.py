"""State of one tenant of a shared pool: configuration, keys, limits, cache and links of its own, the pool's engines."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from tts_server.auth.authenticate import Keyring
from tts_server.cache.factory import open_tenant_cache
from tts_server.cache.memory import CacheBudget
from tts_server.config.schema import ServerConfig
from tts_server.config.shared_tenants import SharedTenant
from tts_server.engines.voice_blend import BrokenBlend
from tts_server.pipeline.server import ServerState
from tts_server.pipeline.snapshot import ServingSnapshot
from tts_server.quota.admission import Admission
from tts_server.routing.catalogue import Catalogue, Model

if TYPE_CHECKING:
    from tts_server.redis.client import RedisClient

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SharedPool:
    """Parts of a shared pool that its tenants have in common."""

    server: ServerState
    redis: "RedisClient | None"
    budget: CacheBudget
    """Memory for the caches of all tenants."""


def tenant_state(pool: ServerState, entry: SharedTenant) -> ServerState:
    """Return the state of a tenant, which `update_tenant` completes."""
    return ServerState(
        make_engine_client=pool.make_engine_client,
        quota=Admission(pool.admission.quota, entry.quota, pool.admission.replicas),
        store=pool.store,
        links=replace(pool.links, owner=entry.uid),
        process=pool.process,
    )


def update_tenant(server: ServerState, name: str, entry: SharedTenant, shared: SharedPool) -> None:
    """Apply an entry, and what the pool is now. Requests in flight keep what they began with; no await in between."""
    pool = shared.server
    if pool.snapshot is None:
        return
    old, models = server.snapshot, _models(name, entry, pool.snapshot)
    config = _config(name, entry, pool.snapshot.config, models)
    names = Catalogue(models.values(), config)
    server.snapshot = ServingSnapshot(config, names, pool.snapshot.engine_clients, pool.snapshot.guards,
                                      pool=pool.snapshot)  # fmt: skip
    server.admission = Admission(pool.admission.quota, entry.quota, config.max_replicas)
    server.keyring = Keyring({key: bytes.fromhex(digest) for key, digest in entry.keys.items()})
    server.identity.share(pool.identity, config, shared.redis)
    server.peers = pool.peers
    if old is None or server.store is not pool.store or old.config.cache != config.cache:
        before, server.store = server.cache, pool.store
        server.cache = open_tenant_cache(config, shared.redis, shared.budget)
        if before is not None:
            before.close()


def _config(name: str, entry: SharedTenant, pool: ServerConfig, models: Mapping[str, Model]) -> ServerConfig:
    """Return the configuration of the tenant alone, as a pool of its own would have it."""
    offered = [model for model in models.values() if model.config.offered]
    names = {model.name for model in offered}
    model_aliases = {alias: model for alias, model in entry.model_aliases.items() if model in names}
    voice_aliases = {alias: voice for alias, voice in entry.voice_aliases.items() if _speaks(offered, voice, {})}
    routing = tuple(each for each in entry.language_routing if _speaks(offered, each.voice, voice_aliases))
    lost = {
        "model_aliases": entry.model_aliases.keys() - model_aliases.keys(),
        "voice_aliases": entry.voice_aliases.keys() - voice_aliases.keys(),
        "languages": {each.language for each in entry.language_routing} - {each.language for each in routing},
    }
    ignored = {kind: sorted(names) for kind, names in lost.items() if names}
    if ignored:
        log.error("names ignored that refer to nothing in this pool", tenant=name, **ignored)
    storage = pool.storage
    if entry.link_seconds is not None and entry.link_seconds != storage.link_seconds:
        storage = storage.model_copy(update={"link_seconds": entry.link_seconds})
    return pool.model_copy(
        update={
            "tenant": name,
            "tenant_uid": entry.uid,
            "role": "Entry",
            "tenants_directory": None,
            "weight": entry.weight,
            "models": tuple(model.config for model in models.values()),
            "model_aliases": model_aliases,
            "voice_aliases": voice_aliases,
            "language_routing": routing,
            "auth": pool.auth.model_copy(update={"modes": entry.auth_modes}),
            "public_url": entry.public_url or pool.public_url,
            "storage": storage,
            "cache": entry.cache,
        }
    )


def _speaks(models: Collection[Model], voice: str, aliases: Mapping[str, str]) -> bool:
    """Whether one of the models has a voice, or can blend one, of that name."""
    try:
        return any(model.find(voice, aliases) is not None for model in models)
    except BrokenBlend:
        return False


def _models(name: str, entry: SharedTenant, pool: ServingSnapshot) -> Mapping[str, Model]:
    """Return the pool's models with the tenant's precisions: the pool's own objects wherever nothing differs."""
    models = pool.catalogue.models
    if entry.precision is None and entry.allowed_precisions is None:
        return models
    return {key: _narrowed(name, entry, model) if model.config.offered else model for key, model in models.items()}


def _narrowed(name: str, entry: SharedTenant, model: Model) -> Model:
    config = model.config
    wanted = config.allowed_precisions if entry.allowed_precisions is None else entry.allowed_precisions
    precision = config.precision if entry.precision is None else entry.precision
    missing = {precision, *wanted} - {config.precision, *config.allowed_precisions}
    if missing:
        log.error("precisions ignored that this pool lacks", tenant=name, model=model.name, precisions=sorted(missing))
    if precision in missing:
        precision = config.precision
    allowed = tuple(dict.fromkeys([precision, *(each for each in wanted if each not in missing)]))
    return replace(model, config=config.model_copy(update={"precision": precision, "allowed_precisions": allowed}))
