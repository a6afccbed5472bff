"""TTSTenant: a product team's speech endpoint."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tts_operator.api.apimodel import ATOMIC, APIModel, cel, list_map, list_set, that, unique_names
from tts_operator.api.autoscaling import Autoscaling
from tts_operator.api.metadata import ObjectMeta, is_label
from tts_operator.api.names import (
    API_VERSION,
    HTTPSURL,
    URL,
    BucketName,
    Count,
    DNSSubdomain,
    Flag,
    ModelName,
    ObjectKey,
    Precision,
    Precisions,
    Replicas,
    Seconds,
    SecretReference,
    Text,
)
from tts_operator.api.schedule import Schedule
from tts_operator.api.status import TTSTenantStatus

Tier = Literal["Basic", "VIP", "Enterprise"]
Scenario = Literal["CustomerService", "Education", "Testing"]
AuthMode = Literal["None", "APIKey", "JWT"]

ROUTED = r"^(default|[a-z]{2,3})$"


class ModelEntry(APIModel):
    """A model the tenant speaks with."""

    name: ModelName
    """Name of a TTSModel."""
    precision: Precision | None = None
    """What it computes with. Unset: the scenario's, else the model's first."""
    allowed_precisions: Precisions | None = None
    """What a request may ask for. Unset: the effective one alone."""
    aliases: Annotated[tuple[Text, ...], Field(min_length=1, max_length=16), list_set()] | None = None
    """Other names of the model in requests, such as `tts-1`."""
    min_replicas: Replicas | None = None
    """Replicas of this model alone. Unset: the schedule's for the first model, one for the others."""
    max_replicas: Replicas | None = None
    """Replicas that load may reach. Default: `minReplicas`."""

    @cel(
        "!has(self.maxReplicas) || (has(self.minReplicas) && (self.minReplicas > 0 ? self.minReplicas <= self.maxReplicas"
        " : self.maxReplicas == 0))",
        "minReplicas must not exceed maxReplicas; it is 0 only if maxReplicas is 0 too",
    )
    def bounds_are_in_order(self) -> bool:
        if self.max_replicas is None:
            return True
        if not self.min_replicas:
            return self.min_replicas == 0 and self.max_replicas == 0
        return self.min_replicas <= self.max_replicas

    @cel(
        "!has(self.precision) || !has(self.allowedPrecisions) || self.precision in self.allowedPrecisions",
        "allowedPrecisions must include precision",
    )
    def own_precision_is_allowed(self) -> bool:
        return self.precision is None or self.allowed_precisions is None or self.precision in self.allowed_precisions


class LanguageRoute(APIModel):
    """Which voice speaks a language."""

    language: Annotated[str, StringConstraints(min_length=2, max_length=7, pattern=ROUTED)]
    """BCP 47 primary subtag, or `default` for every language without a route."""
    voice: Text
    """A voice of one of the tenant's models."""


class Rollout(APIModel):
    """How pods are replaced when their spec changes."""

    strategy: Literal["Auto", "Surge", "Replace"] = "Auto"
    """Surge: a new pod first. Replace: an old one goes first. Auto: surge, and replace where the new pod finds no room."""


class Quota(APIModel):
    """Limits of the endpoint. Unset: the tier's; they can only lower it."""

    requests_per_minute: Count | None = None
    """Requests in any 60 seconds."""
    requests_per_day: Count | None = None
    """Requests in a day."""
    concurrent_requests: Count | None = None
    """Requests at the same time."""
    audio_seconds_per_day: Count | None = None
    """Seconds of speech in a day."""
    characters_per_day: Count | None = None
    """Characters of text in a day."""
    max_text_characters: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None = None
    """Characters of text in one request. Unset: 4096."""
    per_client_requests_per_minute: Count | None = None
    """Requests of one key, subject or address in any 60 seconds."""


class ExternalIssuer(APIModel):
    """Tokens that someone else issues."""

    jwks_url: Annotated[HTTPSURL, Field(alias="jwksURL")]
    """Where the issuer publishes its keys."""
    issuer: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    """Expected `iss`."""
    audience: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    """Expected `aud`."""


class Auth(APIModel):
    """Who may call."""

    modes: Annotated[tuple[AuthMode, ...], Field(min_length=1, max_length=3), list_set()] = ("APIKey",)
    """Any of these proves who a caller is. None: everyone who reaches the endpoint may call."""
    api_keys_secret_ref: SecretReference | None = None
    """Secret whose entries are a key's name and the SHA-256 of the key, in hexadecimal. Unset: `<tenant>-keys`."""
    external: ExternalIssuer | None = None
    """Tokens of another issuer, besides the endpoint's own."""

    @cel("!has(self.external) || 'JWT' in self.modes", "auth.external needs JWT in auth.modes")
    def external_is_for_tokens(self) -> bool:
        return self.external is None or "JWT" in self.modes


class S3Storage(APIModel):
    """A bucket for audio that callers fetch by link."""

    endpoint: URL
    """Address of the S3 API."""
    region: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    """Region that signatures name."""
    bucket: BucketName
    """Name of the bucket."""
    prefix: ObjectKey | None = None
    """Starts every key."""
    public_endpoint: URL | None = None
    """Address that links name. Unset: `endpoint`."""
    path_style: Flag = False
    """Whether the bucket is in the path of an address instead of its host."""
    secret_ref: SecretReference
    """Secret with `accessKey` and `secretKey`."""


class Storage(APIModel):
    """Where audio is kept that callers fetch by link."""

    s3: S3Storage | None = None
    """A bucket. Unset: files of the pod, which die with it."""
    link_seconds: Annotated[Seconds, Field(le=604_800)] = 3600
    """How long a link works."""
    retention_seconds: Seconds = 604_800
    """How long audio is kept."""


class Redis(APIModel):
    """A Redis of the tenant's own, for quota and cache."""

    secret_ref: SecretReference
    """Secret with `url`."""


class Cache(APIModel):
    """Audio that is spoken again without an engine."""

    enabled: Flag = True
    """Whether audio is cached."""
    ttl_seconds: Seconds = 86_400
    """How long."""


class GatewayReference(APIModel):
    """A Gateway."""

    name: DNSSubdomain
    """Name of the Gateway."""
    namespace: Annotated[str, StringConstraints(min_length=1, max_length=63)] | None = None
    """Its namespace. Unset: the tenant's."""


class Exposure(APIModel):
    """How callers outside the cluster reach the endpoint: an HTTPRoute of the Gateway API."""

    gateway: GatewayReference
    """Gateway that the route attaches to."""
    hostname: DNSSubdomain
    """Name under which the endpoint answers."""


class TTSTenantSpec(APIModel):
    """What the endpoint speaks with, how large it is, and who may call."""

    tier: Tier = "Basic"
    """Requests per minute: Basic 10, VIP 100, Enterprise 1000, unless the operator is configured otherwise."""
    isolation: Literal["Dedicated", "Shared"] = "Dedicated"
    """Dedicated: pods of its own, in its namespace. Shared: the models' common pools, fair by tier."""
    scenario: Scenario | None = None
    """What the speech is for, which chooses the precision: CustomerService fp16, Education fp32, Testing int8."""
    models: Annotated[tuple[ModelEntry, ...], Field(min_length=1, max_length=16), ATOMIC, unique_names("models")]
    """Models it speaks with. The first is the default."""
    voice_aliases: Annotated[dict[Text, Text], Field(max_length=128)] = {}
    """Other names of voices in requests, such as `alloy`."""
    language_routing: (
        Annotated[
            tuple[LanguageRoute, ...],
            Field(min_length=1, max_length=64),
            list_map("language"),
            that(
                "self.exists(one, one.language == 'default')",
                "languageRouting needs a route for language default",
                lambda routes: any(route.language == "default" for route in routes),
            ),
        ]
        | None
    ) = None
    """Which voice speaks which language. A route for `default` is required."""
    schedule: Schedule | None = None
    """Replica bounds by the clock. Unset: one replica."""
    autoscaling: Autoscaling | None = None
    """What moves replicas between those bounds."""
    rollout: Rollout | None = None
    """How pods are replaced when their spec changes."""
    quota: Quota | None = None
    """Limits of the endpoint. Unset: the tier's."""
    auth: Auth = Auth()
    """Who may call."""
    storage: Storage | None = None
    """Where audio is kept that callers fetch by link. Unset: files of the pod, which die with it."""
    redis: Redis | None = None
    """A Redis of its own. Unset: limits hold per pod, each its share."""
    cache: Cache | None = None
    """Audio that is spoken again without an engine."""
    exposure: Exposure | None = None
    """How callers outside the cluster reach it. Unset: they do not."""
    allow_external: Flag = False
    """Whether a fallback may send text out of the cluster, to an engine Remote."""
    prevent_deletion: Flag = False
    """Whether the tenant is kept when someone deletes it."""
    suspend: Flag = False
    """Scale to zero now, and keep everything else."""

    @cel(
        "self.models.all(one, !has(one.aliases) || one.aliases.all(alias,"
        " self.models.filter(other, other.name == alias || (has(other.aliases) && alias in other.aliases)).size() == 1))",
        "an alias must belong to one model, and be no model's name",
    )
    def aliases_are_unique(self) -> bool:
        names = [entry.name for entry in self.models]
        aliases = [alias for entry in self.models for alias in entry.aliases or ()]
        return len(set(names + aliases)) == len(names) + len(aliases)

    @cel(
        "!has(self.schedule) || !(has(self.models[0].minReplicas) || has(self.models[0].maxReplicas))",
        "the schedule's bounds are the first model's: leave out its minReplicas and maxReplicas, or the schedule",
    )
    def first_model_has_one_kind_of_bounds(self) -> bool:
        first = self.models[0]
        return self.schedule is None or (first.min_replicas is None and first.max_replicas is None)

    @cel(
        "!has(self.exposure) || !has(self.auth) || !('None' in self.auth.modes)",
        "auth mode None is only for endpoints without exposure",
    )
    def open_endpoints_stay_inside(self) -> bool:
        return self.exposure is None or "None" not in self.auth.modes

    @cel(
        "self.isolation != 'Shared' || !(has(self.schedule) || has(self.autoscaling))",
        "a Shared tenant may not set schedule or autoscaling: the pool has its own",
    )
    def shared_pools_scale_themselves(self) -> bool:
        return self.isolation != "Shared" or (self.schedule is None and self.autoscaling is None)

    @cel(
        "self.isolation != 'Shared' || !(has(self.redis) || has(self.storage))",
        "a Shared tenant may not set redis or storage: the pool has its own",
    )
    def shared_pools_store_for_themselves(self) -> bool:
        return self.isolation != "Shared" or (self.redis is None and self.storage is None)

    @cel(
        "self.isolation != 'Shared' || !has(self.auth) || !has(self.auth.external)",
        "a Shared tenant may not set auth.external: a common pool fetches no address of a tenant's",
    )
    def shared_pools_fetch_no_keys(self) -> bool:
        return self.isolation != "Shared" or self.auth.external is None


class TTSTenant(APIModel):
    """A speech endpoint of a product team."""

    api_version: Literal["ttsfleet.io/v1alpha1"] = API_VERSION
    kind: Literal["TTSTenant"] = "TTSTenant"
    metadata: ObjectMeta
    spec: TTSTenantSpec
    """What the endpoint speaks with, how large it is, and who may call."""
    status: TTSTenantStatus = TTSTenantStatus()
    """What the operator made of it."""

    @cel(
        "size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "a tenant's name is a DNS-1035 label of at most 40 characters",
    )
    def name_fits(self) -> bool:
        return is_label(self.metadata.name, 40, starts_with_letter=True)
