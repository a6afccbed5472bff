"""Builds server.json, the configuration that one pool's pods read."""

import json

from tts_operator.api import TTSModel, TTSTenant
from tts_operator.api.tenant import S3Storage, Storage
from tts_operator.credentials.shared_stores import ACCESS_KEY, CERTIFICATE, SECRET_KEY, URL, SharedRedis
from tts_operator.objects import quantity
from tts_operator.objects.kinds import CONFIG_MAP
from tts_operator.objects.names import server_config_name
from tts_operator.pod_files.addresses import peers_url, pool_url
from tts_operator.pod_files.audio_version import weights_digest
from tts_operator.pod_files.engine import own_engine
from tts_operator.pod_files.model_files import revision
from tts_operator.resolve.resolved import Pool, Resolved
from tts_operator.settings import IPNetwork
from tts_operator.snapshot import lookup
from tts_server.config.schema import (
    CONFIG_FILE,
    DATA_DIRECTORY,
    INTERNAL_DIRECTORY,
    KEYS_DIRECTORY,
    REDIS_DIRECTORY,
    S3_DIRECTORY,
    SIGNING_DIRECTORY,
    AuthConfig,
    AuthMode,
    BatchingConfig,
    CacheConfig,
    CorsConfig,
    ExternalIssuer,
    FallbackConfig,
    FallbackVoice,
    LanguageRoute,
    LocalEngine,
    ModelConfig,
    PausesConfig,
    PoolEngine,
    Precision,
    RedisConfig,
    S3Config,
    ServerConfig,
    StorageConfig,
    VoiceConfig,
)

DATA_SHARE = 0.9
"""Share of the pod's volume for audio files; the server deletes files before the kubelet evicts the pod."""
CACHE_SHARE = 0.125
"""Maximum share of the pod's memory limit for the cache; the rest is for the server and its engines."""


def server_config(resolved: Resolved, tenant: TTSTenant, pool: Pool) -> ServerConfig:
    """The server.json of a pool: an entry pool has every model, alias and route; a member only its own model.

    Aliases and routes to unknown voices are left out: a condition reports them, and the server would reject the file.
    """
    spec = tenant.spec
    entry = pool.role == "Entry"
    pools = [each for each in resolved.pools if each.model is not None and (entry or each is pool)]
    models = {each.model_name for each in pools}
    voices = {voice.name for each in pools if each.offered for voice in each.served[0].spec.voices}
    aliases = {alias: voice for alias, voice in spec.voice_aliases.items() if entry and voice in voices}
    return ServerConfig(
        tenant=f"{resolved.key.namespace}.{resolved.key.name}",
        tenant_uid=resolved.uid,
        role="Entry" if entry else "Member",
        models=tuple(model_config(resolved, each, pool) for each in pools),
        model_aliases={
            alias: each.name for each in spec.models if entry and each.name in models for alias in each.aliases
        },
        voice_aliases=aliases,
        language_routing=tuple(
            LanguageRoute(language=route.language, voice=route.voice)
            for route in spec.language_routing
            if entry and (route.voice in voices or route.voice in aliases)
        ),
        auth=auth_config(resolved),
        cors=cors_config(tenant) if entry else None,
        public_url=spec.public_url if entry else None,
        storage=storage_config(resolved, tenant),
        cache=cache_config(tenant, pool),
        redis=redis_config(redis) if (redis := resolved.redis) else None,
        drain_seconds=resolved.settings.drain_seconds,
        max_replicas=max(pool.bounds.max_replicas, 1),
        playground=entry and resolved.settings.playground,
        docs=entry and resolved.settings.docs,
    )


def model_config(resolved: Resolved, model_pool: Pool, pool: Pool) -> ModelConfig:
    """The model of ``model_pool`` for the file of ``pool``; its engine is local if they are one pool, else remote."""
    model, precision = model_pool.served
    local = model_pool is pool
    current = current_model_config(resolved, model_pool, pool)
    weights = weights_digest(
        resolved, model_pool, current.weights_digest if current else None, served_revision(resolved, model_pool)
    )
    config = ModelConfig(
        name=model_pool.model_name,
        engine=own_engine(model, precision.name, model_pool.loaded)
        if local
        else PoolEngine(url=pool_url(model_pool.name, resolved.key.namespace)),
        languages=model.spec.languages,
        voices=tuple(VoiceConfig(name=voice.name, languages=voice.languages) for voice in model.spec.voices),
        sample_rate_hz=model.spec.sample_rate_hz,
        precision=Precision(precision.name),
        allowed_precisions=tuple(Precision(name) for name in model_pool.loaded),
        first_audio_timeout_seconds=model.spec.first_audio_timeout_seconds,
        weights_digest=weights if pool.role == "Entry" else None,
        fallback=fallback_config(resolved, model_pool) if pool.role == "Entry" else None,
        offered=model_pool.offered or pool.role != "Entry",
        pauses=pauses_config(model),
        batching=batching_config(model) if local else None,
    )
    if not model_pool.throttled or current is None or current.engine.type != config.engine.type:
        return config
    # Settings that need new pods stay until the pods roll: in a new file they would affect the running pods at once.
    fixed = ("precision", "allowed_precisions", "sample_rate_hz", *(("engine",) if local else ()))
    return config.model_copy(update={name: getattr(current, name) for name in fixed})


def served_revision(resolved: Resolved, pool: Pool) -> str | None:
    """Revision of the files that the pool's pods read: a throttled pool keeps the engine settings that it has."""
    if not pool.throttled:
        return revision(pool.served[0])
    current = current_model_config(resolved, pool, pool)
    return current.engine.revision if current is not None and isinstance(current.engine, LocalEngine) else None


def current_model_config(resolved: Resolved, model_pool: Pool, pool: Pool) -> ModelConfig | None:
    """The model of ``model_pool`` in the live file of ``pool``; None if it is missing or unreadable."""
    try:
        models = json.loads(live_config(resolved, pool) or "{}")["models"]
        return ModelConfig.model_validate(next(each for each in models if each["name"] == model_pool.model_name))
    except (ValueError, KeyError, TypeError, StopIteration, RecursionError):
        return None


def live_config(resolved: Resolved, pool: Pool) -> str | None:
    """The live server.json of the pool; None if there is none."""
    name = server_config_name(resolved.key.name, pool.model_name)
    config_map = lookup.child(resolved.observed, CONFIG_MAP, name)
    return None if config_map is None else (config_map.get("data") or {}).get(CONFIG_FILE)


def fallback_config(resolved: Resolved, pool: Pool) -> FallbackConfig | None:
    """The fallback of the pool's model, with its voices by language; unknown voices are left out."""
    fallback_pool = next((each for each in resolved.pools if each.model_name == pool.fallback), None)
    fallback = pool.served[0].spec.fallback
    if fallback_pool is None or fallback_pool.model is None or fallback is None:
        return None
    existing = {voice.name for voice in fallback_pool.model.spec.voices}
    voices = tuple(
        FallbackVoice(language=entry.language, voice=entry.voice)
        for entry in fallback.voices
        if entry.voice in existing
    )
    return FallbackConfig(model=fallback_pool.model_name, voices=voices)


def pauses_config(model: TTSModel) -> PausesConfig:
    """Pauses between segments, in seconds. The entry pool makes them, whichever pool synthesizes the segments."""
    pauses = model.spec.pauses
    if pauses is None:
        return PausesConfig()
    return PausesConfig(
        sentence_seconds=pauses.sentence_milliseconds / 1000,
        clause_seconds=pauses.clause_milliseconds / 1000,
        line_seconds=pauses.line_milliseconds / 1000,
        paragraph_seconds=pauses.paragraph_milliseconds / 1000,
    )


def batching_config(model: TTSModel) -> BatchingConfig | None:
    """Batching, for the pool with the local engine; other pools send it single utterances."""
    batching = model.spec.batching
    if batching is None:
        return None
    return BatchingConfig(max_size=batching.max_size, max_wait_milliseconds=batching.max_wait_milliseconds)


def auth_config(resolved: Resolved) -> AuthConfig:
    """Authentication settings, the same for every pool: each can become the entry."""
    modes = tuple(AuthMode(mode.value) for mode in resolved.auth_modes)
    external = resolved.tenant.spec.auth.external if resolved.tenant and resolved.tenant.spec.auth else None
    return AuthConfig(
        modes=modes,
        keys_directory=None if AuthMode.NONE in modes else KEYS_DIRECTORY,  # API keys are also exchanged for tokens
        internal_directory=INTERNAL_DIRECTORY,
        signing_directory=SIGNING_DIRECTORY if AuthMode.JWT in modes else None,
        external=ExternalIssuer(
            jwks_url=external.jwks_url,
            issuer=external.issuer,
            audience=external.audience,
            refuse_local_addresses=True,
        )
        if external
        else None,
        trusted_proxies=trusted_proxies(resolved) or None,
    )


def trusted_proxies(resolved: Resolved) -> tuple[IPNetwork, ...]:
    """Networks whose `X-Forwarded-*` headers are believed: those of gateways only while the tenant has a route."""
    exposed = resolved.exposure is not None and bool(resolved.exposure.hostname)
    gateways = resolved.settings.exposure.proxies if exposed else ()
    return tuple(dict.fromkeys((*resolved.settings.trusted_proxies, *gateways)))


def cors_config(tenant: TTSTenant) -> CorsConfig | None:
    """Origins of web pages that may call the entry pool; None if the tenant allows none."""
    cors = tenant.spec.cors
    if cors is None:
        return None
    return CorsConfig(allowed_origins=cors.allowed_origins, max_age_seconds=cors.max_age_seconds)


def storage_config(resolved: Resolved, tenant: TTSTenant) -> StorageConfig:
    """Audio storage: the tenant's object store, else the pod's own volume."""
    storage = tenant.spec.storage or Storage()
    size = quantity.parse(resolved.settings.data_size_limit)
    return StorageConfig(
        directory=DATA_DIRECTORY,
        max_bytes=int(float(size) * DATA_SHARE),
        link_seconds=storage.link_seconds,
        retention_seconds=storage.retention_seconds,
        s3=s3_config(resolved.s3, of_tenant=storage.s3 is not None) if resolved.s3 else None,
        peers_url=None if resolved.s3 else peers_url(resolved),
    )


def s3_config(s3: S3Storage, *, of_tenant: bool) -> S3Config:
    """Settings of the object store. Its credentials are files of a Secret, never part of server.json."""
    return S3Config(
        endpoint=s3.endpoint,
        region=s3.region,
        bucket=s3.bucket,
        prefix=s3.prefix,
        public_endpoint=s3.public_endpoint,
        path_style=s3.path_style,
        access_key_file=S3_DIRECTORY / ACCESS_KEY,
        secret_key_file=S3_DIRECTORY / SECRET_KEY,
        refuse_local_addresses=of_tenant,
    )


def redis_config(redis: SharedRedis) -> RedisConfig:
    """Settings of the Redis. Its URL includes the password, so it is a file of a Secret, never part of server.json."""
    return RedisConfig(
        url_file=REDIS_DIRECTORY / URL,
        ca_file=REDIS_DIRECTORY / CERTIFICATE,
        refuse_local_addresses=not redis.user,
    )


def cache_config(tenant: TTSTenant, pool: Pool) -> CacheConfig:
    """Cache settings; only an entry pool has a cache. Its size is bounded by the pod's memory limit."""
    cache = tenant.spec.cache
    if cache is None or pool.role != "Entry":
        return CacheConfig()
    default = CacheConfig.model_fields["max_bytes"].default
    limit = memory_limit(pool)
    return CacheConfig(
        enabled=cache.enabled,
        ttl_seconds=cache.ttl_seconds,
        max_bytes=default if limit is None else max(min(default, int(limit * CACHE_SHARE)), 1),
    )


def memory_limit(pool: Pool) -> int | None:
    """Memory limit of the pool's pods, in bytes; None if they have none."""
    if pool.model is None or pool.precision is None:
        return None
    options = {option.name.value: option.resources.limits for option in pool.model.spec.precisions}
    limit = options[pool.precision.name].get("memory")
    return None if limit is None else quantity.whole(limit)
