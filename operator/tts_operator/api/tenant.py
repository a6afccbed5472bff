"""TTSTenant: a product team's endpoint. Nothing in it lets its author choose an image, a command or a pod field."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from tts_operator.api.autoscaling import Autoscaling
from tts_operator.api.base import (
    Alias,
    APIModel,
    BucketName,
    DNSLabel,
    Hostname,
    KeySetURL,
    ModelName,
    ObjectMeta,
    ObjectName,
    ObjectReference,
    Origin,
    Replicas,
    VoiceName,
    atomic,
    cel,
    field_cel,
    list_map,
    list_set,
    unique,
)
from tts_operator.api.model import Precision
from tts_operator.api.schedule import Schedule
from tts_operator.api.status import TTSTenantStatus
from tts_operator.objects.names import API_VERSION


class Tier(StrEnum):
    """How many requests a minute a tenant may make, and its weight in a shared pool."""

    BASIC = "Basic"
    VIP = "VIP"
    ENTERPRISE = "Enterprise"


class Isolation(StrEnum):
    """Whose pods speak."""

    DEDICATED = "Dedicated"
    SHARED = "Shared"


class Scenario(StrEnum):
    """What the speech is for: chooses a precision where a model's entry names none."""

    CUSTOMER_SERVICE = "CustomerService"
    EDUCATION = "Education"
    TESTING = "Testing"


class TenantModel(APIModel):
    """One model that the tenant's callers may name."""

    model_config = cel(
        (
            "!has(self.precision) || !has(self.allowedPrecisions) || self.precision in self.allowedPrecisions",
            "precision must be one of allowedPrecisions",
        ),
        (
            "!has(self.maxReplicas) || has(self.minReplicas)",
            "maxReplicas needs minReplicas beside it",
        ),
        (
            "!has(self.minReplicas) || !has(self.maxReplicas) || "
            "(self.minReplicas == 0 ? self.maxReplicas == 0 : self.minReplicas <= self.maxReplicas)",
            "minReplicas must not exceed maxReplicas; minReplicas is 0 only if maxReplicas is 0 too",
        ),
    )

    name: ModelName
    """Name of the TTSModel."""
    precision: Precision | None = None
    """What it computes with. Default: the scenario's, else the model's first."""
    allowed_precisions: Annotated[tuple[Precision, ...], Field(min_length=1, max_length=3), list_set()] | None = None
    """What a request may ask for. Default: the effective precision alone."""
    aliases: Annotated[tuple[Alias, ...], Field(max_length=16), list_set()] = ()
    """Other names for it in requests, such as tts-1."""
    min_replicas: Replicas | None = None
    """Replicas at least. Only for models after the first: the schedule's bounds are the first one's. Default: 1."""
    max_replicas: Replicas | None = None
    """Replicas at most. Default: `minReplicas`."""


class LanguageRoute(APIModel):
    """Which voice speaks a language."""

    language: Annotated[
        str, StringConstraints(pattern=r"^(default|[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3})$", max_length=35)
    ]
    """BCP 47, or `default` for every language without a route."""
    voice: VoiceName
    """Name or alias of a voice."""


class Rollout(APIModel):
    """How pods are replaced."""

    strategy: Literal["Auto", "Surge", "Replace"] = "Auto"
    """Surge: a new pod first. Replace: an old pod goes first. Auto: surge, and replace where a surge finds no room."""


Limit = Annotated[int, Field(ge=1, le=1_000_000_000)]


class Quota(APIModel):
    """Limits of the tenant's callers. Unset: the tier's; they may only lower it."""

    requests_per_minute: Limit | None = None
    """Exact over any 60 seconds."""
    requests_per_day: Limit | None = None
    """Over a UTC day."""
    concurrent_requests: Limit | None = None
    """At the same time, over all replicas."""
    audio_seconds_per_day: Limit | None = None
    """Seconds of audio sent in a UTC day."""
    characters_per_day: Limit | None = None
    """Characters of text in a UTC day."""
    max_text_characters: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Longest text of one request."""
    per_client_requests_per_minute: Limit | None = None
    """Of one client, by key or subject, else by address."""


class ExternalIssuer(APIModel):
    """Tokens of another issuer, besides the tenant's own."""

    jwks_url: Annotated[KeySetURL, Field(alias="jwksURL")]
    """Where the issuer publishes its keys; https only."""
    issuer: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    """Required `iss`."""
    audience: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    """Required `aud`."""


class AuthMode(StrEnum):
    """How callers prove who they are."""

    NONE = "None"
    API_KEY = "APIKey"
    JWT = "JWT"


class Auth(APIModel):
    """Who may call."""

    model_config = cel(
        ("!has(self.external) || (has(self.modes) && 'JWT' in self.modes)", "external needs JWT among modes"),
        ("!('None' in self.modes) || self.modes.size() == 1", "mode None stands alone"),
    )

    modes: Annotated[tuple[AuthMode, ...], Field(min_length=1, max_length=3), list_set()] = (AuthMode.API_KEY,)
    """Ways that are accepted. None lets everyone in."""
    api_keys_secret_ref: ObjectReference | None = None
    """Secret whose entries are SHA-256 hashes of API keys, in hexadecimal. Default: <tenant>-keys."""
    external: ExternalIssuer | None = None
    """Tokens of another issuer."""


PREFIX_RULE = (
    "self.split('/').all(part, part != '.' && part != '..')",
    "prefix may not have . or .. between its slashes",
)


def _within_the_bucket(prefix: str) -> str:
    if {".", ".."}.intersection(prefix.split("/")):
        raise ValueError(PREFIX_RULE[1])
    return prefix


KeyPrefix = Annotated[
    str,
    StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=512),
    AfterValidator(_within_the_bucket),
    field_cel(PREFIX_RULE),
]


Region = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?$", min_length=1, max_length=63)
]


class S3Storage(APIModel):
    """An object store."""

    endpoint: Origin
    """Address as pods reach it."""
    region: Region = "us-east-1"
    """Region that requests are signed for."""
    bucket: BucketName
    """Name of the bucket."""
    prefix: KeyPrefix = ""
    """Before every key."""
    public_endpoint: Origin | None = None
    """Address as callers reach it: links are signed for it. Default: `endpoint`."""
    path_style: bool = False
    """Bucket in the path instead of in the host name."""
    secret_ref: ObjectReference
    """Secret in this namespace with `accessKey` and `secretKey`."""


class Storage(APIModel):
    """Where audio is kept that callers fetch by link."""

    s3: S3Storage | None = None
    """An object store. Default: the operator's, else files that die with their pod."""
    link_seconds: Annotated[int, Field(ge=1, le=604_800)] = 3600
    """How long a link works."""
    retention_seconds: Annotated[int, Field(ge=60, le=315_360_000)] = 604_800
    """How long audio is kept."""


class Redis(APIModel):
    """Where quota and cache are shared between replicas."""

    secret_ref: ObjectReference
    """Secret with `url`, redis[s]://[user:password@]host[:port][/database], and perhaps `ca.crt`."""


class Cache(APIModel):
    """Speech that was spoken before."""

    enabled: bool = True
    """Whether to keep it."""
    ttl_seconds: Annotated[int, Field(ge=1, le=31_536_000)] = 86_400
    """How long it is kept."""


class GatewayReference(APIModel):
    """A Gateway of the Gateway API."""

    name: ObjectName
    """Name of the Gateway."""
    namespace: DNSLabel | None = None
    """Its namespace. Default: the tenant's."""


class Exposure(APIModel):
    """How callers outside the cluster get in."""

    gateway: GatewayReference
    """The Gateway to attach a route to."""
    hostname: Hostname
    """Host name of the endpoint."""


class TTSTenantSpec(APIModel):
    """A speech endpoint of one team."""

    model_config = cel(
        (
            "!has(self.exposure) || !has(self.auth) || !('None' in self.auth.modes)",
            "auth.modes None is not allowed with exposure: anyone could call",
        ),
        (
            "self.isolation != 'Shared' || !(has(self.schedule) || has(self.autoscaling) || has(self.redis) || "
            "has(self.storage))",
            "isolation Shared may not set schedule, autoscaling, redis or storage: the platform's pool has its own",
        ),
        (
            "self.isolation != 'Shared' || !has(self.auth) || !has(self.auth.external)",
            "isolation Shared may not set auth.external",
        ),
        (
            "size(self.models) == 0 || !has(self.models[0].minReplicas)",
            "models[0] takes its bounds from schedule; leave out its minReplicas and maxReplicas",
        ),
        (
            "self.models.all(m, !has(m.aliases) || m.aliases.all(alias, self.models.filter(other,"
            " other.name == alias || (has(other.aliases) && alias in other.aliases)).size() == 1))",
            "models[].aliases must each name one model, and none may be another model's name",
        ),
    )

    tier: Tier = Tier.BASIC
    """Basic 10, VIP 100, Enterprise 1000 requests per minute; `quota` may lower that."""
    isolation: Isolation = Isolation.DEDICATED
    """Dedicated: pods of its own, here. Shared: the platform's pods, by the weight of its tier while others wait."""
    scenario: Scenario | None = None
    """CustomerService fp16, Education fp32, Testing int8; where a model lacks it, the nearest that it has."""
    models: Annotated[tuple[TenantModel, ...], Field(min_length=1, max_length=16), atomic(unique("name", "models"))]
    """Models that callers may name; the first is the default."""
    voice_aliases: Annotated[
        dict[str, VoiceName],
        Field(max_length=64),
        field_cel(("self.all(alias, alias.size() >= 1 && alias.size() <= 64)", "an alias has 1 to 64 characters")),
    ] = {}
    """Other names for voices in requests, such as alloy."""
    language_routing: Annotated[
        tuple[LanguageRoute, ...],
        Field(max_length=64),
        list_map("language"),
        field_cel(
            (
                "self.size() == 0 || self.exists(r, r.language == 'default')",
                "languageRouting needs an entry for language default",
            )
        ),
    ] = ()
    """Which voice speaks which language; `default` is required."""
    schedule: Schedule | None = None
    """Replica bounds of the default model that follow the clock. Default: one replica."""
    autoscaling: Autoscaling | None = None
    """How load moves replicas between the bounds."""
    rollout: Rollout | None = None
    """How pods are replaced."""
    quota: Quota | None = None
    """Limits of the tenant's callers."""
    auth: Auth | None = None
    """Who may call. Default: API keys."""
    storage: Storage | None = None
    """Where audio is kept that callers fetch by link."""
    redis: Redis | None = None
    """Where quota and cache are shared. Default: the operator's, else limits are each pod's own."""
    cache: Cache | None = None
    """Speech that was spoken before. Unset: none is kept."""
    exposure: Exposure | None = None
    """How callers outside the cluster get in."""
    allow_external: bool = False
    """Whether a fallback may send text out of the cluster."""
    prevent_deletion: bool = False
    """Keep the endpoint when the TTSTenant is deleted."""
    suspend: bool = False
    """Scale to zero now, and keep everything else."""


class TTSTenant(APIModel):
    """A speech endpoint of one team."""

    model_config = cel(
        (
            "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "metadata.name must be at most 40 lower-case letters, digits and dashes, and begin with a letter",
        )
    )

    api_version: Literal["ttsfleet.io/v1alpha1"] = API_VERSION  # type: ignore[assignment] # the constant is that literal
    kind: Literal["TTSTenant"] = "TTSTenant"
    metadata: ObjectMeta
    spec: TTSTenantSpec
    status: TTSTenantStatus | None = None
