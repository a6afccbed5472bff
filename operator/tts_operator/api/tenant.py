"""TTSTenant: a product team's endpoint. No field of it sets an image, a command or a field of a pod."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tts_operator.api.autoscaling import Autoscaling
from tts_operator.api.base import (
    Alias,
    APIModel,
    BaseURL,
    BucketName,
    DNSLabel,
    Hostname,
    KeyPrefix,
    KeySetURL,
    ModelName,
    ObjectMeta,
    ObjectName,
    ObjectReference,
    Origin,
    Region,
    Replicas,
    StoreOrigin,
    VoiceName,
    WebOrigin,
    atomic,
    cel,
    field_cel,
    list_map,
    list_set,
    unique,
)
from tts_operator.api.precision import Precision
from tts_operator.api.schedule import Schedule
from tts_operator.api.status import TTSTenantStatus
from tts_operator.objects.names import API_VERSION


class Tier(StrEnum):
    """Service tier: the limit of requests per minute, and the weight in a shared pool."""

    BASIC = "Basic"
    VIP = "VIP"
    ENTERPRISE = "Enterprise"


class Isolation(StrEnum):
    """Whether the tenant has its own pods (Dedicated) or uses shared ones."""

    DEDICATED = "Dedicated"
    SHARED = "Shared"


class Scenario(StrEnum):
    """Use case; it determines the precision of models whose entry sets none."""

    CUSTOMER_SERVICE = "CustomerService"
    EDUCATION = "Education"
    TESTING = "Testing"


FIRST_MODEL_RULE = (
    "self.size() == 0 || !has(self[0].windows)",
    "the first model takes its bounds from schedule: set windows on the models after it",
)


class ModelWindow(APIModel):
    """Replica bounds of a model while a window of the schedule is active."""

    model_config = cel(
        (
            "!has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
            "minReplicas must not exceed maxReplicas",
        )
    )

    name: DNSLabel
    """Name of a window or an exception of `spec.schedule`, or `default`."""
    min_replicas: Annotated[int, Field(strict=True, ge=1, le=1000)]
    """Minimum number of replicas. Zero is the whole endpoint's: a window of `spec.schedule` with 0 replicas."""
    max_replicas: Annotated[int, Field(strict=True, ge=1, le=1000)] | None = None
    """Maximum number of replicas. Default: `minReplicas`."""


class TenantModel(APIModel):
    """Model that the tenant's requests may name."""

    model_config = cel(
        (
            "!has(self.precision) || !has(self.allowedPrecisions) || self.precision in self.allowedPrecisions",
            "precision must be one of allowedPrecisions",
        ),
        (
            "!has(self.maxReplicas) || has(self.minReplicas)",
            "maxReplicas requires minReplicas",
        ),
        (
            "!has(self.minReplicas) || !has(self.maxReplicas) || "
            "(self.minReplicas == 0 ? self.maxReplicas == 0 : self.minReplicas <= self.maxReplicas)",
            "minReplicas must not exceed maxReplicas, and may be 0 only if maxReplicas is 0",
        ),
    )

    name: ModelName
    """Name of the TTSModel."""
    precision: Precision | None = None
    """Numeric precision. Default: that of `scenario`, else the model's first."""
    allowed_precisions: Annotated[tuple[Precision, ...], Field(min_length=1, max_length=3), list_set()] | None = None
    """Precisions that requests may select. Default: only the effective precision."""
    aliases: Annotated[tuple[Alias, ...], Field(max_length=16), list_set()] = ()
    """Other names of the model in requests, such as tts-1."""
    min_replicas: Replicas | None = None
    """Minimum number of replicas. Default: 1. The first model takes its bounds from `schedule` instead."""
    max_replicas: Replicas | None = None
    """Maximum number of replicas. Default: `minReplicas`."""
    windows: Annotated[tuple[ModelWindow, ...], Field(max_length=16), atomic(unique("name", "windows"))] = ()
    """Bounds of a model after the first by the clock: those of the active window of `schedule`, if it is listed here,
    else `minReplicas` and `maxReplicas`."""


class LanguageRoute(APIModel):
    """Voice used for a language."""

    language: Annotated[
        str, StringConstraints(pattern=r"^(default|[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3})$", max_length=35)
    ]
    """Language as BCP 47, or `default` for languages without an entry."""
    voice: VoiceName
    """Name or alias of the voice."""


class Rollout(APIModel):
    """Update strategy of the pods."""

    strategy: Literal["Auto", "Surge", "Replace"] = "Auto"
    """Surge starts a new pod before it stops an old one, Replace stops the old one first.

    Auto surges, and replaces if there is no capacity for a surge.
    """


Limit = Annotated[int, Field(ge=1, le=1_000_000_000)]


class Quota(APIModel):
    """Limits on the tenant's requests. A value above the limit of `tier` is lowered to it."""

    requests_per_minute: Limit | None = None
    """Maximum requests in any 60 seconds. Default: the limit of `tier`."""
    requests_per_day: Limit | None = None
    """Maximum requests per UTC day."""
    concurrent_requests: Limit | None = None
    """Maximum concurrent requests, summed over all replicas.

    By default at most 10 in tier Basic, 100 in VIP, 1000 in Enterprise; the platform may set other limits.
    """
    audio_seconds_per_day: Limit | None = None
    """Maximum seconds of audio sent per UTC day."""
    characters_per_day: Limit | None = None
    """Maximum characters of text per UTC day."""
    max_text_characters: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Maximum characters of text in one request.

    Default: 4096, or the limit of `tier` if that is less. By default at most 10000 in tier Basic, 50000 in VIP,
    100000 in Enterprise; the platform may set other limits.
    """
    per_client_requests_per_minute: Limit | None = None
    """Limit per client. A client is an API key or token subject; without either, an IP address."""


class ExternalIssuer(APIModel):
    """Issuer of tokens that are accepted besides the tenant's own."""

    jwks_url: Annotated[KeySetURL, Field(alias="jwksURL")]
    """HTTPS URL of the issuer's JSON Web Key Set."""
    issuer: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    """Required value of the `iss` claim."""
    audience: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    """Required value of the `aud` claim."""


class AuthMode(StrEnum):
    """Authentication mode."""

    NONE = "None"
    API_KEY = "APIKey"
    JWT = "JWT"


class Auth(APIModel):
    """Authentication of callers."""

    model_config = cel(
        ("!has(self.external) || (has(self.modes) && 'JWT' in self.modes)", "external requires JWT in modes"),
        ("!('None' in self.modes) || self.modes.size() == 1", "mode None cannot be combined with other modes"),
    )

    modes: Annotated[tuple[AuthMode, ...], Field(min_length=1, max_length=3), list_set()] = (AuthMode.API_KEY,)
    """Accepted authentication modes. None allows every caller."""
    api_keys_secret_ref: ObjectReference | None = None
    """Secret whose values are SHA-256 hashes of API keys, in hexadecimal. Default: `<tenant>-keys`."""
    external: ExternalIssuer | None = None
    """Issuer of tokens that are accepted besides the tenant's own."""


class S3Storage(APIModel):
    """S3-compatible object store."""

    endpoint: StoreOrigin
    """URL of the object store, as pods reach it."""
    region: Region = "us-east-1"
    """Region with which requests are signed."""
    bucket: BucketName
    """Name of the bucket."""
    prefix: KeyPrefix = ""
    """Prefix added to every object key."""
    public_endpoint: Origin | None = None
    """URL of the object store in links, as callers reach it. Default: `endpoint`."""
    path_style: bool = False
    """Address the bucket in the URL's path instead of its host name."""
    secret_ref: ObjectReference
    """Secret in this namespace with `accessKey` and `secretKey`."""


class Storage(APIModel):
    """Storage of audio that callers download by link."""

    s3: S3Storage | None = None
    """Object store for audio. Default: that of the operator, else files that are lost with their pod."""
    link_seconds: Annotated[int, Field(ge=1, le=604_800)] = 3600
    """Lifetime of a link."""
    retention_seconds: Annotated[int, Field(ge=60, le=315_360_000)] = 604_800
    """Retention time of audio."""


class Redis(APIModel):
    """Redis in which replicas share counters and cache."""

    secret_ref: ObjectReference
    """Secret with `url`, redis[s]://[user:password@]host[:port][/database], and optionally `ca.crt`."""


class Cache(APIModel):
    """Cache of audio for repeated requests."""

    enabled: bool = True
    """Enables the audio cache."""
    ttl_seconds: Annotated[int, Field(ge=1, le=31_536_000)] = 86_400
    """Lifetime of cached audio."""


class CORS(APIModel):
    """Web pages of other origins that may call the endpoint from a browser."""

    allowed_origins: Annotated[
        tuple[WebOrigin, ...],
        Field(min_length=1, max_length=64),
        list_set(),
        field_cel(
            ("!('*' in self) || self.size() == 1", "allowedOrigins with * must not list other origins: * allows all"),
            (
                "self.all(o, !(o.startsWith('https://') && o.endsWith(':443'))"
                " && !(o.startsWith('http://') && o.endsWith(':80')))",
                "allowedOrigins must not contain the default ports, :443 of https and :80 of http: browsers omit them",
            ),
        ),
    ]
    """Origins as browsers send them, such as `https://app.example`: in lower case, without a path and a default port.

    `*` allows every origin.
    """
    max_age_seconds: Annotated[int, Field(ge=0, le=86_400)] = 600
    """Time for which a browser may cache the permission."""


class GatewayReference(APIModel):
    """Reference to a Gateway of the Gateway API."""

    name: ObjectName
    """Name of the Gateway."""
    namespace: DNSLabel | None = None
    """Namespace of the Gateway. Default: the tenant's namespace."""


class IssuerReference(APIModel):
    """Reference to an issuer of cert-manager."""

    name: ObjectName
    """Name of the issuer."""
    kind: Literal["Issuer", "ClusterIssuer"] = "Issuer"
    """Issuer, of the tenant's namespace, or ClusterIssuer. The platform decides which ClusterIssuers may be named."""


class IngressTLS(APIModel):
    """Certificate of an Ingress: of a Secret, or requested from cert-manager."""

    model_config = cel(
        ("has(self.secretRef) != has(self.issuerRef)", "tls requires exactly one of secretRef and issuerRef"),
    )

    secret_ref: ObjectReference | None = None
    """Secret of type kubernetes.io/tls in this namespace."""
    issuer_ref: IssuerReference | None = None
    """Issuer of cert-manager, which writes the certificate into the Secret `<tenant>-tls`."""


class IngressExposure(APIModel):
    """Route through an ingress controller."""

    class_name: ObjectName | None = None
    """Name of the IngressClass. Default: the first one that the platform allows."""
    tls: IngressTLS | None = None
    """Certificate of the host name. Default: the one that the ingress controller uses by default."""


class Exposure(APIModel):
    """Route for callers outside the cluster, through a Gateway or through an ingress controller."""

    model_config = cel(
        ("has(self.gateway) != has(self.ingress)", "exposure requires exactly one of gateway and ingress"),
    )

    gateway: GatewayReference | None = None
    """Gateway to which an HTTPRoute attaches. Its listener has the certificate."""
    ingress: IngressExposure | None = None
    """Ingress, for clusters without the Gateway API."""
    hostname: Hostname | None = None
    """Host name of the endpoint, of those that the platform allows. Default: the first of them for this tenant."""


class TTSTenantSpec(APIModel):
    """Desired state of the tenant's endpoint."""

    model_config = cel(
        (
            "!has(self.exposure) || !has(self.auth) || !('None' in self.auth.modes)",
            "auth.modes None is not allowed with exposure: anyone could call the endpoint",
        ),
        (
            "self.isolation != 'Shared' || !(has(self.schedule) || has(self.autoscaling) || has(self.rollout) || "
            "has(self.redis) || has(self.storage) || has(self.cors))",
            "isolation Shared does not allow schedule, autoscaling, rollout, redis, storage or cors: the shared pool"
            " defines them",
        ),
        (
            "self.isolation != 'Shared' || !has(self.auth) || !has(self.auth.external)",
            "isolation Shared does not allow auth.external",
        ),
        (
            "self.isolation != 'Shared' || !has(self.auth) || !('None' in self.auth.modes)",
            "isolation Shared does not allow auth.modes None: credentials tell the tenants of a pool apart",
        ),
        (
            "size(self.models) == 0 || !has(self.models[0].minReplicas)",
            "models[0] takes its replica bounds from schedule: remove its minReplicas and maxReplicas",
        ),
        (
            "self.models.all(m, !has(m.aliases) || m.aliases.all(alias, self.models.filter(other,"
            " other.name == alias || (has(other.aliases) && alias in other.aliases)).size() == 1))",
            "models[].aliases must not repeat a name or an alias of another model",
        ),
    )

    tier: Tier = Tier.BASIC
    """Service tier. By default Basic allows 10, VIP 100, Enterprise 1000 requests per minute; `quota` may lower that.

    The namespace's label `ttsfleet.io/max-tier` may forbid the higher ones.
    """
    isolation: Isolation = Isolation.DEDICATED
    """Whether the tenant has its own pods (Dedicated) or uses shared ones, weighted by `tier` (Shared)."""
    scenario: Scenario | None = None
    """Use case that determines the precision: CustomerService fp16, Education fp32, Testing int8.

    A model that does not offer it uses the nearest precision that it offers.
    """
    models: Annotated[
        tuple[TenantModel, ...], Field(min_length=1, max_length=16), atomic(unique("name", "models"), FIRST_MODEL_RULE)
    ]
    """Models that requests may name; the first is the default."""
    voice_aliases: Annotated[
        dict[str, VoiceName],
        Field(max_length=64),
        field_cel(
            ("self.all(alias, alias.size() >= 1 && alias.size() <= 64)", "an alias must have 1 to 64 characters")
        ),
    ] = {}
    """Voices by alias: other names of voices in requests, such as alloy."""
    language_routing: Annotated[
        tuple[LanguageRoute, ...],
        Field(max_length=64),
        list_map("language"),
        field_cel(
            (
                "self.size() == 0 || self.exists(r, r.language == 'default')",
                "languageRouting requires an entry for language default",
            )
        ),
    ] = ()
    """Voices by language, for requests without a voice and for languages that their voice does not support.

    An entry for `default` is required.
    """
    schedule: Schedule | None = None
    """Replica bounds of the default model over time. Default: one replica."""
    autoscaling: Autoscaling | None = None
    """Autoscaler between the replica bounds."""
    rollout: Rollout | None = None
    """Update strategy of the pods."""
    quota: Quota | None = None
    """Limits on the tenant's requests. A value above the limit of `tier` is lowered to it."""
    auth: Auth | None = None
    """Authentication of callers. Default: API keys."""
    storage: Storage | None = None
    """Storage of audio that callers download by link."""
    redis: Redis | None = None
    """Redis in which replicas share counters and cache.

    Default: that of the operator, else each replica enforces its share of the limits.
    """
    cache: Cache | None = None
    """Cache of audio for repeated requests. Unset: no cache."""
    cors: CORS | None = None
    """Web pages of other origins that may call the endpoint from a browser. Default: none."""
    public_url: Annotated[BaseURL | None, Field(alias="publicURL")] = None
    """URL at which callers reach the endpoint, such as `https://speech.example/acme`: links to audio begin with it.

    Default: the address of each request, or what a proxy that the platform team trusts forwards.
    """
    exposure: Exposure | None = None
    """Route for callers outside the cluster. Unset: none, only the Service inside the cluster."""
    allow_external: bool = False
    """Allow fallbacks that send text outside the cluster: those with engine Remote, unless it is a Service of it."""
    prevent_deletion: bool = False
    """Keep the endpoint when the TTSTenant is deleted."""
    suspend: bool = False
    """Scale the endpoint to zero replicas; keep its other objects."""


class TTSTenant(APIModel):
    """Speech endpoint of one team."""

    model_config = cel(
        (
            "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "metadata.name must consist of at most 40 lower-case letters, digits and dashes, and begin with a letter",
        )
    )

    api_version: Literal["ttsfleet.io/v1alpha1"] = API_VERSION  # type: ignore[assignment] # the constant is that literal
    kind: Literal["TTSTenant"] = "TTSTenant"
    metadata: ObjectMeta
    spec: TTSTenantSpec
    status: TTSTenantStatus | None = None
