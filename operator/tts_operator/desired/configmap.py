"""The two files that pods read, and a digest by which a running pod is told of a change."""

import hashlib
import json

from pydantic import BaseModel

from tts_operator import quantity
from tts_operator.api import TTSModel, TTSTenant
from tts_operator.api.tenant import Quota, S3Storage, Storage
from tts_operator.desired.metadata import pool_metadata, tenant_metadata
from tts_operator.desired.service import peers_url, pool_url
from tts_operator.manifest import Manifest
from tts_operator.names import quota_config_name, server_config_name
from tts_operator.resolve import Pool, Resolved
from tts_server.config import (
    CONFIG_FILE,
    DATA_DIRECTORY,
    INTERNAL_DIRECTORY,
    KEYS_DIRECTORY,
    QUOTA_FILE,
    S3_DIRECTORY,
    SIGNING_DIRECTORY,
    AuthConfig,
    AuthMode,
    BatchingConfig,
    CacheConfig,
    ExternalIssuer,
    LanguageRoute,
    LocalEngine,
    ModelConfig,
    PoolEngine,
    Precision,
    QuotaConfig,
    S3Config,
    ServerConfig,
    StorageConfig,
    VoiceConfig,
)

DATA_SHARE = 0.9
"""Of the pod's volume: the server makes room before the kubelet evicts the pod for it."""
CACHE_SHARE = 0.125
"""Of the pod's memory limit, at most: the rest is for the server and its engines."""


def quota_config_map(resolved: Resolved) -> Manifest:
    """The tenant's limits, in a file of their own: they change more often than models, and for every pool at once."""
    quota = (resolved.tenant and resolved.tenant.spec.quota) or Quota()
    config = QuotaConfig(
        requests_per_minute=resolved.requests_per_minute,
        requests_per_day=quota.requests_per_day,
        concurrent_requests=quota.concurrent_requests,
        audio_seconds_per_day=quota.audio_seconds_per_day,
        characters_per_day=quota.characters_per_day,
        max_text_characters=resolved.max_text_characters,
        per_client_requests_per_minute=quota.per_client_requests_per_minute,
    )
    return Manifest.of(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": tenant_metadata(resolved, quota_config_name(resolved.key.name)),
            "data": {QUOTA_FILE: text(config)},
        }
    )


def server_config_map(resolved: Resolved, tenant: TTSTenant, pool: Pool) -> Manifest:
    """What one pool serves."""
    return Manifest.of(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": pool_metadata(resolved, pool, server_config_name(resolved.key.name, pool.model_name)),
            "data": {CONFIG_FILE: text(server_config(resolved, tenant, pool))},
        }
    )


def server_config(resolved: Resolved, tenant: TTSTenant, pool: Pool) -> ServerConfig:
    """An entry pool knows every model and all that callers may say; a member knows its own model only.

    Names that lead nowhere are left out: a condition tells of them, and the server would refuse the whole file.
    """
    spec = tenant.spec
    entry = pool.role == "Entry"
    told = [each for each in resolved.pools if each.model is not None and (entry or each is pool)]
    models = {each.model_name for each in told}
    voices = {voice.name for each in told for voice in each.spoken[0].spec.voices}
    aliases = {alias: voice for alias, voice in spec.voice_aliases.items() if entry and voice in voices}
    return ServerConfig(
        tenant=f"{resolved.key.namespace}.{resolved.key.name}",
        tenant_uid=resolved.uid,
        role=pool.role,
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
        drain_seconds=resolved.settings.drain_seconds,
        max_replicas=max(pool.bounds.max_replicas, 1),
    )


def model_config(resolved: Resolved, served: Pool, by: Pool) -> ModelConfig:
    """One model as the pool ``by`` speaks it: with its own engine, or through the pool that has one."""
    model, choice = served.spoken
    return ModelConfig(
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
        batching=batching_config(model) if served is by else None,
    )


def batching_config(model: TTSModel) -> BatchingConfig | None:
    """Of the pool that has the engine; others send it one utterance at a time."""
    wanted = model.spec.batching
    if wanted is None:
        return None
    return BatchingConfig(max_size=wanted.max_size, max_wait_milliseconds=wanted.max_wait_milliseconds)


def local_engine(model: TTSModel, precision: str) -> LocalEngine:
    """Engine processes of a pod: as many as its CPU limit has room for."""
    resources = next(option.resources for option in model.spec.precisions if option.name == precision)
    cores = quantity.parse(resources.limits.get("cpu", resources.requests.get("cpu", "1")))
    limit = model.spec.memory_limit
    return LocalEngine(
        processes=min(max(int(cores / model.spec.threads), 1), 64),
        threads=model.spec.threads,
        memory_limit_bytes=quantity.whole(limit) if limit else None,
    )


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
        access_key_file=S3_DIRECTORY / "accessKey",
        secret_key_file=S3_DIRECTORY / "secretKey",
    )


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
        max_bytes=usual if limit is None else min(usual, int(limit * CACHE_SHARE)),
    )


def memory_limit(pool: Pool) -> int | None:
    """Bytes that the kernel lets the pool's pods have; None: as many as the node has."""
    if pool.model is None or pool.precision is None:
        return None
    options = {option.name.value: option.resources.limits for option in pool.model.spec.precisions}
    limit = options[pool.precision.name].get("memory")
    return None if limit is None else quantity.whole(limit)


def text(config: BaseModel) -> str:
    """JSON that is the same for the same meaning, whatever order it was built in."""
    return (
        json.dumps(
            config.model_dump(mode="json", by_alias=True, exclude_none=True),
            ensure_ascii=False,
            indent=1,
            sort_keys=True,
        )
        + "\n"
    )


def digest(*parts: str) -> str:
    """Short, and different whenever a part is."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
