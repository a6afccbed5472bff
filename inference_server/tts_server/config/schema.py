"""The files that the operator writes and the server reads: the contract between the two programs.

Two files, because they change at different speeds. ``server.json`` names models, voices, routing, identity and storage;
``quota.json`` holds limits. Both reach a running pod without a restart: the server reads them again when they change.
Both are YAML's subset JSON when the operator writes them; ``tts-server --config`` reads YAML too.
"""

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, IPvAnyNetwork, model_validator
from pydantic.alias_generators import to_camel

from tts_server.config.http_url import with_an_authority
from tts_server.config.redis_url import parse_redis_url

HTTP_PORT = 8080
METRICS_PORT = 9090

CONFIG_DIRECTORY = Path("/etc/ttsfleet/server")
QUOTA_DIRECTORY = Path("/etc/ttsfleet/quota")
KEYS_DIRECTORY = Path("/etc/ttsfleet/keys")
INTERNAL_DIRECTORY = Path("/etc/ttsfleet/internal")
SIGNING_DIRECTORY = Path("/etc/ttsfleet/signing")
S3_DIRECTORY = Path("/etc/ttsfleet/s3")
REDIS_DIRECTORY = Path("/etc/ttsfleet/redis")
DATA_DIRECTORY = Path("/var/lib/ttsfleet")
CONFIG_FILE = "server.json"
QUOTA_FILE = "quota.json"


class ConfigModel(BaseModel):
    """Camel case in the file, snake case in Python; an unknown field is an error, never ignored."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, use_attribute_docstrings=True
    )


class Precision(StrEnum):
    """Numbers a model computes with. Lower case: these are values of requests, too."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class AuthMode(StrEnum):
    """How a caller proves who it is."""

    NONE = "None"
    API_KEY = "APIKey"
    JWT = "JWT"
    """An access token: our own, which an API key buys at `/v1/auth/token`, or one of an external issuer."""


class VoiceConfig(ConfigModel):
    """One voice of a model."""

    name: Annotated[str, Field(min_length=1)]
    languages: tuple[str, ...] = ()
    """BCP 47 primary subtags the voice speaks; none means all of the model's."""


class LocalEngine(ConfigModel):
    """An engine that runs in processes of this pod."""

    type: Literal["Espeak"] = "Espeak"
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    """Engine processes side by side: the pod's CPU limit over the model's threads."""
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    """Of each process."""
    memory_limit_bytes: Annotated[int, Field(gt=0)] | None = None
    """Resident memory at which the watchdog recycles an engine process; none: unwatched."""


class PoolEngine(ConfigModel):
    """Another pool of the same tenant serves the model, reached over HTTP with the tenant's internal credential."""

    type: Literal["Pool"] = "Pool"
    url: str
    """Base address of the pool's Service, without a path."""


Engine = Annotated[LocalEngine | PoolEngine, Field(discriminator="type")]


class FallbackVoice(ConfigModel):
    """Text of ``language`` is spoken by ``voice`` of the fallback model."""

    language: str
    voice: str


class FallbackConfig(ConfigModel):
    """Who speaks a whole reply when the model cannot."""

    model: str
    """Another model of this file; it may have a fallback of its own, three models in all."""
    voices: tuple[FallbackVoice, ...] = ()
    """A language without an entry is spoken by the fallback model's first voice for it, else by its first voice."""


class BatchingConfig(ConfigModel):
    """How utterances share one pass of an engine that can batch, where that is measured to be quicker."""

    max_size: Annotated[int, Field(ge=1, le=256)] = 8
    """Most utterances in a batch."""
    max_wait_milliseconds: Annotated[int, Field(ge=0, le=10_000)] = 50
    """Longest that the first waits for others, from its own arrival, while others are spoken or queued."""


class ModelConfig(ConfigModel):
    """One model the tenant may name in a request."""

    name: Annotated[str, Field(min_length=1)]
    engine: Engine = LocalEngine()
    languages: tuple[str, ...] = ()
    """BCP 47 primary subtags; none means those of its voices."""
    voices: tuple[VoiceConfig, ...] = ()
    """The first is the default one; none means every voice that the engine says it has."""
    sample_rate_hz: Annotated[int, Field(ge=8_000, le=192_000)] | None = None
    """What the engine yields. The engine itself has the last word: a difference is logged."""
    precision: Precision = Precision.FP32
    """Spoken when a request names none."""
    allowed_precisions: Annotated[tuple[Precision, ...], Field(min_length=1)] = (Precision.FP32,)
    """Those that a request may name."""
    first_audio_timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 3.0
    """Longest wait for the next sound of an engine that speaks; after that it has failed."""
    weights_digest: str | None = None
    """Another one whenever the model sounds otherwise. Audio is cached under it; none: under its engine and version.

    A model that another pool serves needs one, or cached audio outlives a change of its weights.
    """
    batching: BatchingConfig | None = None
    """None: the engine speaks one utterance at a time."""
    fallback: FallbackConfig | None = None
    """None: where the engine fails, the request does."""
    offered: bool = True
    """False: callers can neither name nor list it; it only speaks where another model falls back to it."""


class LanguageRoute(ConfigModel):
    """Text of ``language`` is spoken by ``voice``; ``default`` stands for every language without a route."""

    language: str
    voice: str


class ExternalIssuer(ConfigModel):
    """Somebody else whose access tokens are accepted: RS256 or ES256, with `exp` and `sub`."""

    jwks_url: Annotated[
        str, Field(pattern=r"^https://[^/@?#\s]+(/[^#\s]*)?$", max_length=2048), AfterValidator(with_an_authority)
    ]
    """Where its public keys are. Exactly there: a redirect is not followed."""
    issuer: Annotated[str, Field(min_length=1, max_length=512)]
    """What `iss` must be."""
    audience: Annotated[str, Field(min_length=1, max_length=512)]
    """What `aud` must be or contain. It is what tells this tenant from others that trust the same issuer."""
    ca_file: Path | None = None
    """PEM certificates that are trusted for `jwksUrl`; none: the system's."""


class AuthConfig(ConfigModel):
    """Who may call."""

    modes: Annotated[tuple[AuthMode, ...], Field(min_length=1)] = (AuthMode.NONE,)
    """Any of them will do."""
    keys_directory: Path | None = None
    """Each file is one API key: the file's name is the key's, its content the key's SHA-256 in hexadecimal."""
    internal_directory: Path | None = None
    """Holds ``token``, the credential between the pools of one tenant."""
    signing_directory: Path | None = None
    """Holds ``<kid>.pem``, RSA private keys, and ``current``, the kid that signs. None: a key of this process."""
    external: ExternalIssuer | None = None
    trusted_proxies: tuple[IPvAnyNetwork, ...] | None = None
    """Networks whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` are believed; none: a connection says it all."""


class S3Config(ConfigModel):
    """An object store. The bucket must exist."""

    endpoint: Annotated[str, Field(pattern=r"^https?://[^/?#@]+/?$"), AfterValidator(with_an_authority)]
    """Address as this server reaches it."""
    region: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$")] = "us-east-1"
    """What requests to it are signed for."""
    bucket: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$")]
    prefix: str = ""
    """Before every key, with a slash between."""
    public_endpoint: (
        Annotated[str, Field(pattern=r"^https?://[^/?#@]+/?$"), AfterValidator(with_an_authority)] | None
    ) = None
    """Address as callers reach it: links are signed for it; none: `endpoint`."""
    path_style: bool = False
    """Bucket in the path instead of in the host name."""
    access_key_file: Path
    """Read again when it changes, as the other files here."""
    secret_key_file: Path
    """Holds the secret key."""
    ca_file: Path | None = None
    """Certificates, in PEM, that vouch for the endpoint; none: the usual public ones."""


class StorageConfig(ConfigModel):
    """Where audio is kept that a caller fetches by link."""

    directory: Path = Path("/tmp/ttsfleet")  # noqa: S108 - of a laptop; the operator always names the pod's own volume
    """Holds audio where there is no `s3`, and the key that signs links. Another one is used from the next start on."""
    s3: S3Config | None = None
    """Keeps the audio instead of `directory`."""
    peers_url: Annotated[str, Field(pattern=r"^http://[^/?#@]+$")] | None = None
    """Of a name that leads to every replica, such as a headless Service's: links to local files work at all of them."""
    link_seconds: Annotated[int, Field(ge=1)] = 3600
    """How long a link leads to the audio."""
    retention_seconds: Annotated[int, Field(ge=1)] = 604_800
    """How long audio is kept."""
    max_bytes: Annotated[int, Field(gt=0)] = 512 * 1024 * 1024
    """The oldest audio goes first once the folder holds more."""


class CacheConfig(ConfigModel):
    """What is spoken once and heard often: identical requests share what is spoken, and what was."""

    enabled: bool = False
    ttl_seconds: Annotated[int, Field(ge=1)] = 86_400
    """How long a sound is kept after it was spoken."""
    max_entries: Annotated[int, Field(ge=1)] = 10_000
    """In memory."""
    max_bytes: Annotated[int, Field(ge=1)] = 64 * 1024 * 1024
    """Of audio in memory, and of files beside it where storage is a folder."""
    small_bytes: Annotated[int, Field(ge=0)] = 64 * 1024
    """Audio up to this size is shared through Redis, larger audio through the store."""


class RedisConfig(ConfigModel):
    """The store that replicas share: counters, refresh tokens, small audio. It is never needed in order to speak."""

    url: Annotated[str, Field(pattern=r"^rediss?://[^/@?#\s]+(/[0-9]{1,4})?$", max_length=512)] | None = None
    """Where, without credentials: `redis://host:6379`, or `rediss://` for TLS; the database's number may follow."""
    url_file: Path | None = None
    """Instead of `url`, `username` and `passwordFile`: holds `redis[s]://[user:password@]host[:port][/database]`.

    Read for each new connection; it may come later than the server.
    """
    username: str | None = None
    """ACL user; none: the default one."""
    password_file: Path | None = None
    """Holds the password; read for each new connection, so that a rotated one needs no restart."""
    ca_file: Path | None = None
    """PEM certificates that `rediss://` trusts; none, or none there beside a `urlFile`: the system's."""

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if (self.url is None) == (self.url_file is None):
            raise ValueError("needs either url or urlFile")
        if self.url is not None:
            parse_redis_url(self.url)
        if self.url_file is not None and (self.username is not None or self.password_file is not None):
            raise ValueError("urlFile holds the user and the password: leave out username and passwordFile")
        return self


Weight = Annotated[float, Field(ge=0.001, le=1000, allow_inf_nan=False)]
"""A tenant's part of an engine: with 10 it is spoken ten times the characters of one with 1, while both wait."""


class PoolTenant(ConfigModel):
    """A tenant that a pool serves besides its own: its entry pools come with an internal credential of their own."""

    name: Annotated[
        str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.[a-z]([-a-z0-9]{0,38}[a-z0-9])?$", max_length=104)
    ]
    """``<namespace>.<name>``"""
    weight: Weight = 1.0
    """Of it among all that the pool serves. What nobody else wants is anybody's, whatever its weight."""
    internal_directory: Path
    """Holds ``token``, the credential of this tenant's entry pools; without it only this tenant is refused."""


class ServerConfig(ConfigModel):
    """``server.json``: what one pool serves, to one tenant but for `tenants`."""

    tenant: str = "local"
    """``<namespace>.<name>`` in a cluster."""
    tenant_uid: str = ""
    """Kept beside state outside Kubernetes, so that a namesake inherits nothing."""
    role: Literal["Entry", "Member"] = "Entry"
    """Entry: callers come here. Member: only the tenant's entry pool does, and those of `tenants`, with credentials."""
    weight: Weight = 1.0
    """Of this pool's own tenant among `tenants`."""
    tenants: Annotated[tuple[PoolTenant, ...], Field(max_length=100)] = ()
    """Of a Member: whose entry pools may come here besides this one's own, for speech and nothing else.

    They have counted the request, and they keep its sound: this pool has neither quota, cache nor store for them.
    At most 100, because the server looks at each one's folder four times a second.
    """
    models: Annotated[tuple[ModelConfig, ...], Field(min_length=1)]
    """The first is the default."""
    model_aliases: dict[str, str] = {}
    """Name in a request to a model's name, such as ``tts-1``."""
    voice_aliases: dict[str, str] = {}
    """Name in a request to a voice's name, such as ``alloy``."""
    language_routing: tuple[LanguageRoute, ...] = ()
    """For requests that name no voice, and for text in a language that the voice does not speak."""
    auth: AuthConfig = AuthConfig()
    storage: StorageConfig = StorageConfig()
    cache: CacheConfig = CacheConfig()
    redis: RedisConfig | None = None
    """None: this replica counts and remembers alone."""
    drain_seconds: Annotated[int, Field(ge=0)] = 60
    """Longest that requests in flight may take after SIGTERM."""
    max_wait_seconds: Annotated[float, Field(gt=0, le=3600)] = 10.0
    """Longest wait for an engine: a request that would wait longer is refused on arrival."""
    batch_ages_after_seconds: Annotated[float, Field(ge=0, le=3600)] = 5.0
    """After this wait, work of priority ``batch`` competes as if it were interactive."""
    max_replicas: Annotated[int, Field(ge=1)] = 1
    """Replicas the pool can have: a limit that no shared store holds is divided by it."""
    playground: bool = False
    """Serves a page at `/` to try the voices from. Loading it needs no key; the requests that it sends do."""
    docs: bool = False
    """Serves a page at `/docs` that describes every route. It needs no key; neither does `/openapi.json`, always on."""

    @model_validator(mode="after")
    def _tenants_apart(self) -> Self:
        names = Counter(each.name for each in self.tenants)
        if names and self.role != "Member":
            raise ValueError("tenants: only a pool of role Member serves other tenants")
        if self.tenant in names:
            raise ValueError(f"tenants: {self.tenant} is this pool's own tenant, whose weight is the field weight")
        if twice := next((name for name, times in names.items() if times > 1), None):
            raise ValueError(f"tenants: {twice} is there twice")
        return self

    def weight_of(self, tenant: str) -> float | None:
        """Among those who wait for an engine here; None for a tenant that this pool does not serve."""
        if tenant == self.tenant:
            return self.weight
        return next((each.weight for each in self.tenants if each.name == tenant), None)


class QuotaConfig(ConfigModel):
    """``quota.json``: the tenant's limits. Unset means unlimited."""

    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    """In any 60 seconds."""
    requests_per_day: Annotated[int, Field(ge=1)] | None = None
    """Days are UTC days."""
    concurrent_requests: Annotated[int, Field(ge=1)] | None = None
    """Being served at the same time, by all replicas together."""
    audio_seconds_per_day: Annotated[int, Field(ge=1)] | None = None
    """Of sound that was sent; what comes out of the cache is free."""
    characters_per_day: Annotated[int, Field(ge=1)] | None = None
    """Of text that was spoken, cached or not."""
    per_client_requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    """In any 60 seconds, of one caller: by its key or subject, else by its address."""
    max_text_characters: Annotated[int, Field(ge=1)] = 4096
    """Longest text of one request."""
