"""The operator's settings, one field per flag of `tts-operator run`.

A field's name, type, default and docstring become the flag, its check, its variable in the environment, the line in
`--help` and the row in docs/reference/tts-operator.md: `cli.flags` derives them. A field that is a dataclass is a group
of flags with the field's name before theirs: `s3.bucket` is `--s3-bucket`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from tts_operator.api.base import URL, BucketName, DNSLabel, Hostname, ImageReference, ObjectName, Origin
from tts_operator.api.tenant import KeyPrefix, Region, Tier
from tts_server.config.redis_url import BadRedisURL, RedisURL, parse_redis_url

DOCUMENTED = ConfigDict(use_attribute_docstrings=True)


@dataclass(frozen=True, slots=True)
class Constant:
    """Marks a field that no flag sets."""


@dataclass(frozen=True, slots=True)
class AlsoFrom:
    """Names another variable of the environment, read where neither the flag nor its own variable is set."""

    variable: str


def must(duty: str) -> WrapValidator:
    """Reports every mistake as "must {duty}", without the value: an address may hold a password."""

    def validate(value: Any, inner: ValidatorFunctionWrapHandler) -> Any:
        try:
            return inner(value)
        except (ValidationError, ValueError):
            raise PydanticCustomError("must", "must {duty}", {"duty": duty}) from None

    return WrapValidator(validate)


def _split(text: Any) -> Any:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if isinstance(text, str) else text


def _switch(text: Any) -> Any:
    return {"true": True, "false": False}.get(text, text) if isinstance(text, str) else text


def _networks(text: Any) -> Any:
    """A network of all addresses is refused: it would let each caller choose the address that it is counted by."""
    if not isinstance(text, str):
        return text
    try:
        networks = tuple(map(ip_network, _split(text)))
    except ValueError as error:
        raise ValueError(f"{error}; write networks such as 10.4.0.0/16, separated by commas") from None
    if any(network.prefixlen == 0 for network in networks):
        raise ValueError("must name the proxies' networks, not all addresses")
    return networks


def _by_tier(text: Any) -> Any:
    """`Basic=10,VIP=100,Enterprise=1000` as a map: every tier once, in any order."""
    if not isinstance(text, str):
        return text
    pairs = [(name.strip(), number.strip()) for name, _, number in (part.partition("=") for part in text.split(","))]
    if sorted(name for name, _ in pairs) != sorted(Tier):
        raise ValueError("a tier is missing, unknown or named twice")
    return {str(tier): dict(pairs)[tier] for tier in Tier}


def _redis_url(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    try:
        url = parse_redis_url(text)
    except BadRedisURL as error:
        raise ValueError(str(error)) from None
    if url.username or url.password:
        raise ValueError("must hold no credentials; put them into --redis-directory")
    return url


IPNetwork = IPv4Network | IPv6Network
Switch = Annotated[bool, Field(strict=True), BeforeValidator(_switch), must("be true or false")]
Networks = Annotated[tuple[IPNetwork, ...], BeforeValidator(_networks)]
Address = Annotated[RedisURL, BeforeValidator(_redis_url)]
Port = Annotated[int, Field(ge=0, le=65_535)]
PullPolicy = Literal["Always", "IfNotPresent", "Never"]
RequestsByTier = Annotated[
    Mapping[str, Annotated[int, Field(ge=1, le=1_000_000_000)]],
    BeforeValidator(_by_tier),
    must("give each tier a number from 1 to 1000000000, as Basic=10,VIP=100,Enterprise=1000"),
]
CharactersByTier = Annotated[
    Mapping[str, Annotated[int, Field(ge=1, le=100_000)]],
    BeforeValidator(_by_tier),
    must("give each tier a number from 1 to 100000, as Basic=10000,VIP=50000,Enterprise=100000"),
]
TierName = Literal["Basic", "VIP", "Enterprise"]
LogLevel = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True)
class RedisDefault:
    """Redis for every tenant that has none of its own."""

    __pydantic_config__ = DOCUMENTED

    url: Address
    """Address, as `redis[s]://host[:port][/database]`, without credentials: each tenant gets a user of its own."""
    directory: Path | None = None
    """Directory with the files `username`, `password` and `ca.crt` of the user that may create users; each may be
    missing."""


@dataclass(frozen=True, kw_only=True)
class S3Default:
    """Object store for every tenant that has none of its own."""

    __pydantic_config__ = DOCUMENTED

    endpoint: Annotated[Origin, must("be http[s]://host[:port], without a path")]
    """Address of the object store, as pods reach it: `http[s]://host[:port]`."""
    region: Annotated[Region, must("be a region's name, such as us-east-1")] = "us-east-1"
    """Region that requests are signed for."""
    bucket: Annotated[BucketName, must("be the name of a bucket, 3 to 63 characters")]
    """Bucket for audio; it must exist."""
    # The UID of a tenant follows it, and both together are at most as long as a tenant's own prefix.
    prefix: Annotated[
        KeyPrefix, Field(max_length=470), must("be at most 470 characters, with no . or .. between its slashes")
    ] = ""
    """Prefix of every object key."""
    public_endpoint: Annotated[Origin | None, must("be http[s]://host[:port], without a path")] = None
    """Address of the object store, as callers reach it: links are signed for it. Default: the endpoint."""
    path_style: Switch = False
    """Puts the bucket into the path of a URL instead of its host name."""
    directory: Path
    """Directory with the files `accessKey` and `secretKey`."""


@dataclass(frozen=True)
class Tiers:
    """Limits of tiers."""

    __pydantic_config__ = DOCUMENTED

    requests_per_minute: RequestsByTier = field(
        default_factory=lambda: {"Basic": 10, "VIP": 100, "Enterprise": 1000},
    )
    """Largest `spec.quota.requestsPerMinute` by tier, and its default."""
    concurrent_requests: RequestsByTier = field(
        default_factory=lambda: {"Basic": 10, "VIP": 100, "Enterprise": 1000},
    )
    """Largest `spec.quota.concurrentRequests` by tier."""
    max_text_characters: CharactersByTier = field(
        default_factory=lambda: {"Basic": 10_000, "VIP": 50_000, "Enterprise": 100_000},
    )
    """Largest `spec.quota.maxTextCharacters` by tier. The default of that field is 4096, or this if it is less."""


@dataclass(frozen=True)
class DefaultCeilings:
    """Ceilings of namespaces without labels."""

    __pydantic_config__ = DOCUMENTED

    max_tier: TierName = "Enterprise"
    """Highest tier in namespaces without the label `ttsfleet.io/max-tier`: `Basic`, `VIP` or `Enterprise`."""
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = 1000
    """Most replicas of a pool in namespaces without the label `ttsfleet.io/max-replicas`."""
    max_accelerators: Annotated[int, Field(ge=0, le=1_000_000)] = 1_000_000
    """Most accelerators of a pool, those of a replica times its replicas, in namespaces without the label
    `ttsfleet.io/max-accelerators`."""


@dataclass(frozen=True)
class Settings:
    """Settings that hold for every tenant."""

    __pydantic_config__ = DOCUMENTED

    server_image: Annotated[ImageReference, must("name an image")]
    """Image of `tts-server` for models that name none."""
    version: Annotated[str, Constant()] = ""
    """Version of the operator. Another version may build pods differently, which is a rollout."""
    namespace: Annotated[DNSLabel, must("be the name of a namespace"), AlsoFrom("POD_NAMESPACE")] = "ttsfleet-system"
    """Namespace of the operator; its Lease is there."""
    image_pull_policy: PullPolicy = "IfNotPresent"
    """Pull policy of the image in tenants' pods: `Always`, `IfNotPresent` or `Never`."""
    playground: Switch = False
    """Serves a page at `/` of every tenant's endpoint, where a person can try the voices."""
    docs: Switch = False
    """Serves a page at `/docs` of every tenant's endpoint, which describes its API."""
    trusted_proxies: Networks = ()
    """Networks, as CIDRs separated by commas, of the proxies whose `X-Forwarded-For` names the caller. Default: none; a
    caller's address is the address of its connection."""
    issuer_hosts: Annotated[
        tuple[Hostname, ...],
        BeforeValidator(_split),
        must("be names of hosts in lower case, separated by commas"),
    ] = ()
    """Hosts, separated by commas, that a tenant's `spec.auth.external.jwksURL` may name. Default: any host."""
    tracing_endpoint: Annotated[Literal[""] | URL, must("be http[s]://host[:port], without a password")] = ""
    """Address that tenants' pods send traces to, by OTLP over HTTP. Default: no traces."""
    tracing_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Fraction of requests that are traced, 0 to 1. The trace ID decides, so that all pods decide alike."""
    max_text_characters: Annotated[int, Constant()] = 4096
    """Default of `spec.quota.maxTextCharacters`."""
    pre_stop_seconds: Annotated[int, Constant()] = 5
    """Time for which a pod still accepts requests while its removal from the Service spreads."""
    drain_seconds: Annotated[int, Constant()] = 60
    """Longest time that a request may take after SIGTERM."""
    data_size_limit: Annotated[str, Constant()] = "1Gi"
    """Size of the pod's own volume, which holds audio until callers fetch it."""
    redis: RedisDefault | None = None
    s3: S3Default | None = None
    tiers: Tiers = field(default_factory=Tiers)
    ceilings: DefaultCeilings = field(default_factory=DefaultCeilings)


@dataclass(frozen=True)
class ProcessSettings:
    """Settings of the operator process."""

    __pydantic_config__ = DOCUMENTED

    watch_namespaces: Annotated[
        tuple[DNSLabel, ...], BeforeValidator(_split), must("be names of namespaces, separated by commas")
    ] = ()
    """Namespaces, separated by commas, whose tenants the operator reconciles. Default: all namespaces."""
    metrics_port: Port = 8080
    """Port of `/metrics`; 0 chooses a free one."""
    health_port: Port = 8081
    """Port of `/healthz` and `/readyz`; 0 chooses a free one."""
    lease_name: Annotated[ObjectName, must("be the name of a Lease")] = "tts-operator"
    """Name of the Lease with which the operator's replicas elect a leader."""
    lease_seconds: Annotated[float, Field(ge=1, le=3600)] = 15.0
    """Time without renewal, in seconds, after which another replica becomes the leader."""
    resync_seconds: Annotated[float, Field(ge=1, le=86_400)] = 600.0
    """Interval at which every tenant is reconciled, in seconds, in case a watch missed an event."""
    workers: Annotated[int, Field(ge=1, le=1000)] = 8
    """Number of tenants that are reconciled at the same time."""
    rollout_concurrent_tenants: Annotated[int, Field(ge=1, le=1000)] = 5
    """Number of tenants that roll out changes of models and of the operator at the same time. One namespace has at most
    half of them."""
    rollout_failure_namespaces: Annotated[int, Field(ge=1, le=1000)] = 2
    """Number of namespaces with a tenant that fails with a change, from which on no further tenant starts it."""
    log_level: LogLevel = "info"
    """Lowest level of log lines: `debug`, `info`, `warning` or `error`."""
