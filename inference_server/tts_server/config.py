"""The files that the operator writes and the server reads: the contract between the two programs.

Two files, because they change at different speeds. ``server.json`` names models, voices, routing, identity and storage;
``quota.json`` holds limits. Both reach a running pod without a restart: the server reads them again when they change.
Both are YAML's subset JSON when the operator writes them; ``tts-server --config`` reads YAML too.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork
from pydantic.alias_generators import to_camel

HTTP_PORT = 8080
METRICS_PORT = 9090

CONFIG_DIRECTORY = Path("/etc/ttsfleet/server")
QUOTA_DIRECTORY = Path("/etc/ttsfleet/quota")
KEYS_DIRECTORY = Path("/etc/ttsfleet/keys")
INTERNAL_DIRECTORY = Path("/etc/ttsfleet/internal")
SIGNING_DIRECTORY = Path("/etc/ttsfleet/signing")
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
    memory_limit_bytes: Annotated[int, Field(gt=0)] | None = None
    """Resident memory at which the watchdog recycles an engine process; none: unwatched."""


class PoolEngine(ConfigModel):
    """Another pool of the same tenant serves the model, reached over HTTP with the tenant's internal credential."""

    type: Literal["Pool"] = "Pool"
    url: str
    """Base address of the pool's Service, without a path."""


Engine = Annotated[LocalEngine | PoolEngine, Field(discriminator="type")]


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
    first_audio_timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 3.0


class LanguageRoute(ConfigModel):
    """Text of ``language`` is spoken by ``voice``; ``default`` stands for every language without a route."""

    language: str
    voice: str


class ExternalIssuer(ConfigModel):
    """Somebody else whose access tokens are accepted: RS256 or ES256, with `exp` and `sub`."""

    jwks_url: Annotated[str, Field(pattern=r"^https://[^/@?#\s]+(/[^#\s]*)?$", max_length=2048)]
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
    keys_directory: Path | None = None
    """Each file is one API key: the file's name is the key's, its content the key's SHA-256 in hexadecimal."""
    internal_directory: Path | None = None
    """Holds ``token``, the credential between the pools of one tenant."""
    signing_directory: Path | None = None
    """Holds ``<kid>.pem``, RSA private keys, and ``current``, the kid that signs. None: a key of this process."""
    external: ExternalIssuer | None = None
    trusted_proxies: tuple[IPvAnyNetwork, ...] | None = None
    """Networks whose ``X-Forwarded-For`` is believed; none: a caller's address is its connection's."""


class StorageConfig(ConfigModel):
    """Where audio is kept that a caller fetches by link."""

    directory: Path = Path("/tmp/ttsfleet")  # noqa: S108 - of a laptop; the operator always names the pod's own volume
    link_seconds: Annotated[int, Field(ge=1)] = 3600
    retention_seconds: Annotated[int, Field(ge=1)] = 604_800
    max_bytes: Annotated[int, Field(gt=0)] = 512 * 1024 * 1024
    """The oldest audio goes first once the folder holds more."""


class RedisConfig(ConfigModel):
    """The store that replicas share: counters, refresh tokens, small audio. It is never needed in order to speak."""

    url: Annotated[str, Field(pattern=r"^rediss?://[^/@?#\s]+(/[0-9]{1,4})?$", max_length=512)]
    """Where, without credentials: `redis://host:6379`, or `rediss://` for TLS; the database's number may follow."""
    username: str | None = None
    """ACL user; none: the default one."""
    password_file: Path | None = None
    """Holds the password; read for each new connection, so that a rotated one needs no restart."""
    ca_file: Path | None = None
    """PEM certificates that `rediss://` trusts; none: the system's."""


class ServerConfig(ConfigModel):
    """``server.json``: what one pool of one tenant serves."""

    tenant: str = "local"
    """``<namespace>.<name>`` in a cluster."""
    tenant_uid: str = ""
    """Kept beside state outside Kubernetes, so that a namesake inherits nothing."""
    role: Literal["Entry", "Member"] = "Entry"
    """Entry: callers come here. Member: only the entry pool of the same tenant does, with the internal credential."""
    models: Annotated[tuple[ModelConfig, ...], Field(min_length=1)]
    """The first is the default."""
    model_aliases: dict[str, str] = {}
    """Name in a request to a model's name, such as ``tts-1``."""
    voice_aliases: dict[str, str] = {}
    """Name in a request to a voice's name, such as ``alloy``."""
    language_routing: tuple[LanguageRoute, ...] = ()
    auth: AuthConfig = AuthConfig()
    storage: StorageConfig = StorageConfig()
    redis: RedisConfig | None = None
    """None: this replica counts and remembers alone."""
    drain_seconds: Annotated[int, Field(ge=0)] = 60
    """Longest that requests in flight may take after SIGTERM."""
    max_replicas: Annotated[int, Field(ge=1)] = 1
    """Replicas the pool can have: a limit that no shared store holds is divided by it."""


class QuotaConfig(ConfigModel):
    """``quota.json``: the tenant's limits. Unset means unlimited."""

    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    max_text_characters: Annotated[int, Field(ge=1)] = 4096
