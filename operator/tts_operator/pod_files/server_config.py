"""Builds server.json, the configuration that one pool's pods read."""

import json

from tts_operator.api import TTSModel, TTSTenant
from tts_operator.api.tenant import S3Storage, Storage
from tts_operator.credentials.shared_stores import ACCESS_KEY, CERTIFICATE, SECRET_KEY, URL
from tts_operator.objects import quantity
from tts_operator.objects.kinds import CONFIG_MAP
from tts_operator.objects.names import server_config_name
from tts_operator.pod_files.addresses import peers_url, pool_url
from tts_operator.pod_files.audio_version import weights_digest
from tts_operator.pod_files.engine import local_engine
from tts_operator.resolve.resolved import Pool, Resolved
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
    ExternalIssuer,
    FallbackConfig,
    FallbackVoice,
    LanguageRoute,
    ModelConfig,
    PoolEngine,
    Precision,
    RedisConfig,
    S3Config,
    ServerConfig,
    StorageConfig,
    VoiceConfig,
)

DATA_SHARE = 0.9
"""Of the pod's volume: the server makes room before the kubelet evicts the pod for it."""
CACHE_SHARE = 0.125
"""Of the pod's memory limit, at most: the rest is for the server and its engines."""


def server_config(resolved: Resolved, tenant: TTSTenant, pool: Pool) -> ServerConfig:
    """An entry pool knows every model and all that callers may say; a member knows its own model only.

    Names that lead nowhere are left out: a condition tells of them, and the server would refuse the whole file.
    """
    spec = tenant.spec
    entry = pool.role == "Entry"
    told = [each for each in resolved.pools if each.model is not None and (entry or each is pool)]
    models = {each.model_name for each in told}
    voices = {voice.name for each in told if each.offered for voice in each.spoken[0].spec.voices}
    aliases = {alias: voice for alias, voice in spec.voice_aliases.items() if entry and voice in voices}
    return ServerConfig(
        tenant=f"{resolved.key.namespace}.{resolved.key.name}",
        tenant_uid=resolved.uid,
        role="Entry" if entry else "Member",
        models=tuple(model_config(resolved, each, pool) for each in told),
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
        storage=storage_config(resolved, tenant),
        cache=cache_config(tenant, pool),
        redis=redis_config() if resolved.redis else None,
        drain_seconds=resolved.settings.drain_seconds,
        max_replicas=max(pool.bounds.max_replicas, 1),
        playground=entry and resolved.settings.playground,
        docs=entry and resolved.settings.docs,
    )


def model_config(resolved: Resolved, served: Pool, by: Pool) -> ModelConfig:
    """One model as the pool ``by`` speaks it: with its own engine, or through the pool that has one."""
    model, choice = served.spoken
    told = current_model_config(resolved, served, by)
    weights = weights_digest(resolved, served, told.weights_digest if told else None)
    made = ModelConfig(
        name=served.model_name,
        engine=local_engine(model, choice.name)
        if served is by
        else PoolEngine(url=pool_url(served.name, resolved.key.namespace)),
        languages=model.spec.languages,
        voices=tuple(VoiceConfig(name=voice.name, languages=voice.languages) for voice in model.spec.voices),
        sample_rate_hz=model.spec.sample_rate_hz,
        precision=Precision(choice.name),
        allowed_precisions=tuple(Precision(name) for name in served.loaded),
        first_audio_timeout_seconds=model.spec.first_audio_timeout_seconds,
        weights_digest=weights if by.role == "Entry" else None,
        fallback=fallback_config(resolved, served) if by.role == "Entry" else None,
        offered=served.offered or by.role != "Entry",
        batching=batching_config(model) if served is by else None,
    )
    if not served.waits or told is None or told.engine.type != made.engine.type:
        return made
    # What pods settled at their start stays until they roll: a file that says otherwise would change them at once.
    settled = ("precision", "allowed_precisions", "sample_rate_hz", *(("engine",) if served is by else ()))
    return made.model_copy(update={name: getattr(told, name) for name in settled})


def current_model_config(resolved: Resolved, served: Pool, by: Pool) -> ModelConfig | None:
    """The model in the file that the pods of ``by`` read now; None if it is not there to read."""
    try:
        written = json.loads(live_config(resolved, by) or "{}")
        found = next(each for each in written["models"] if each["name"] == served.model_name)
        return ModelConfig.model_validate(found)
    except (ValueError, KeyError, TypeError, StopIteration):
        return None


def live_config(resolved: Resolved, pool: Pool) -> str | None:
    """The server.json that the pool's pods read now."""
    name = server_config_name(resolved.key.name, pool.model_name)
    found = lookup.child(resolved.observed, CONFIG_MAP, name)
    return None if found is None else (found.get("data") or {}).get(CONFIG_FILE)


def fallback_config(resolved: Resolved, served: Pool) -> FallbackConfig | None:
    """Who speaks in its place, and with which voices: those that lead nowhere are left out, as a condition tells."""
    standby = next((each for each in resolved.pools if each.model_name == served.fallback), None)
    fallback = served.spoken[0].spec.fallback
    if standby is None or standby.model is None or fallback is None:
        return None
    known = {voice.name for voice in standby.model.spec.voices}
    voices = tuple(
        FallbackVoice(language=entry.language, voice=entry.voice) for entry in fallback.voices if entry.voice in known
    )
    return FallbackConfig(model=standby.model_name, voices=voices)


def batching_config(model: TTSModel) -> BatchingConfig | None:
    """Of the pool that has the engine; others send it one utterance at a time."""
    wanted = model.spec.batching
    if wanted is None:
        return None
    return BatchingConfig(max_size=wanted.max_size, max_wait_milliseconds=wanted.max_wait_milliseconds)


def auth_config(resolved: Resolved) -> AuthConfig:
    """Who may call; the same for every pool, because each can become the entry."""
    modes = tuple(AuthMode(mode.value) for mode in resolved.auth_modes)
    external = resolved.tenant.spec.auth.external if resolved.tenant and resolved.tenant.spec.auth else None
    return AuthConfig(
        modes=modes,
        keys_directory=None if AuthMode.NONE in modes else KEYS_DIRECTORY,  # keys are what tokens are bought with, too
        internal_directory=INTERNAL_DIRECTORY,
        signing_directory=SIGNING_DIRECTORY if AuthMode.JWT in modes else None,
        external=ExternalIssuer(jwks_url=external.jwks_url, issuer=external.issuer, audience=external.audience)
        if external
        else None,
        trusted_proxies=resolved.settings.trusted_proxies or None,
    )


def storage_config(resolved: Resolved, tenant: TTSTenant) -> StorageConfig:
    """The tenant's object store, else the pod's own volume."""
    storage = tenant.spec.storage or Storage()
    size = quantity.parse(resolved.settings.data_size_limit)
    return StorageConfig(
        directory=DATA_DIRECTORY,
        max_bytes=int(float(size) * DATA_SHARE),
        link_seconds=storage.link_seconds,
        retention_seconds=storage.retention_seconds,
        s3=s3_config(resolved.s3) if resolved.s3 else None,
        peers_url=None if resolved.s3 else peers_url(resolved),
    )


def s3_config(s3: S3Storage) -> S3Config:
    """Its credentials are files: they are in the tenant's Secret, and nowhere else."""
    return S3Config(
        endpoint=s3.endpoint,
        region=s3.region,
        bucket=s3.bucket,
        prefix=s3.prefix,
        public_endpoint=s3.public_endpoint,
        path_style=s3.path_style,
        access_key_file=S3_DIRECTORY / ACCESS_KEY,
        secret_key_file=S3_DIRECTORY / SECRET_KEY,
    )


def redis_config() -> RedisConfig:
    """Its whole address is a file, the password in it: a Secret, and nowhere else."""
    return RedisConfig(url_file=REDIS_DIRECTORY / URL, ca_file=REDIS_DIRECTORY / CERTIFICATE)


def cache_config(tenant: TTSTenant, pool: Pool) -> CacheConfig:
    """Of an entry pool: it encodes what it keeps. Its memory is a part of the pod's."""
    cache = tenant.spec.cache
    if cache is None or pool.role != "Entry":
        return CacheConfig()
    usual = CacheConfig.model_fields["max_bytes"].default
    limit = memory_limit(pool)
    return CacheConfig(
        enabled=cache.enabled,
        ttl_seconds=cache.ttl_seconds,
        max_bytes=usual if limit is None else max(min(usual, int(limit * CACHE_SHARE)), 1),
    )


def memory_limit(pool: Pool) -> int | None:
    """Bytes that the kernel lets the pool's pods have; None: as many as the node has."""
    if pool.model is None or pool.precision is None:
        return None
    options = {option.name.value: option.resources.limits for option in pool.model.spec.precisions}
    limit = options[pool.precision.name].get("memory")
    return None if limit is None else quantity.whole(limit)
