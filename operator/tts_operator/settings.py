"""The operator's settings, one field per flag of `tts-operator run`.

A field's name, type, default and docstring become the flag, its check, its variable in the environment, the line in
`--help` and the row in docs/reference/tts-operator.md: `cli.flags` derives them. A field that is a dataclass is a group
of flags with the field's name before theirs: `s3.bucket` is `--s3-bucket`.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from tts_operator.api.base import (
    URL,
    BaseURL,
    BucketName,
    Decimal,
    DNSLabel,
    ImageReference,
    KeyPrefix,
    ObjectName,
    Origin,
    Region,
)
from tts_operator.api.tenant import Tier
from tts_operator.objects.kinds import AddOn
from tts_server.config.hosts import is_local, parse_host
from tts_server.config.redis_url import BadRedisURL, RedisURL, parse_redis_url

DOCUMENTED = ConfigDict(use_attribute_docstrings=True)
IPNetwork = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Constant:
    """Marks a field that no flag sets."""


@dataclass(frozen=True, slots=True)
class NotInPods:
    """Marks a field that no pod depends on: a change of it is no change of the operator that pods roll out."""


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


def _network(text: str) -> IPNetwork:
    """A network that is neither everything nor a part of a node. Raises ValueError."""
    network = ip_network(text)
    if network.prefixlen == 0 or is_local(network.network_address):
        raise ValueError("covers everything, or lies within loopback or link-local addresses")
    return network


def _internal(text: Any) -> Any:
    return tuple(map(_network, _split(text))) if isinstance(text, str) else text


def _allowed_host(text: str) -> str:
    """One entry of an allow-list. Raises ValueError."""
    if "/" in text:
        return str(_network(text))
    wildcard, name = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    return text if text == "*" else f"{wildcard}{parse_host(name)}"


def _allowed_hosts(text: Any) -> Any:
    return tuple(map(_allowed_host, _split(text))) if isinstance(text, str) else text


PEER_FIELDS = frozenset({"namespaceSelector", "podSelector", "ipBlock"})


def _peers(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    peers = json.loads(text or "[]")
    if not isinstance(peers, list) or not all(
        isinstance(peer, dict) and peer and PEER_FIELDS.issuperset(peer) for peer in peers
    ):
        raise ValueError("not a list of peers")
    return tuple(peers)


def _by_tier(text: Any) -> Any:
    """`Basic=10,VIP=100,Enterprise=1000` as a map: every tier once, in any order."""
    if not isinstance(text, str):
        return text
    pairs = [(name.strip(), number.strip()) for name, _, number in (part.partition("=") for part in text.split(","))]
    if sorted(name for name, _ in pairs) != sorted(Tier):
        raise ValueError("a tier is missing, unknown or named twice")
    return {str(tier): dict(pairs)[tier] for tier in Tier}


def _prices(text: Any) -> Any:
    """`nvidia.com/gpu=2.10` as a map from resources to prices."""
    if not isinstance(text, str):
        return text
    pairs = [(name.strip(), price.strip()) for name, _, price in (part.partition("=") for part in _split(text))]
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a resource is named twice")
    return dict(pairs)


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


Switch = Annotated[bool, Field(strict=True), BeforeValidator(_switch), must("be true or false")]
Networks = Annotated[tuple[IPNetwork, ...], BeforeValidator(_networks)]
InternalNetworks = Annotated[
    tuple[IPNetwork, ...], BeforeValidator(_internal), must("be networks such as 10.4.0.0/16, separated by commas")
]
AllowedHosts = Annotated[
    tuple[str, ...],
    BeforeValidator(_allowed_hosts),
    must("be names, names with *. before them, addresses and networks such as 10.4.0.0/16, separated by commas"),
]
Peer = Mapping[str, Any]
"""Peer of a NetworkPolicy, as in its field `from`."""
Peers = Annotated[
    tuple[Peer, ...],
    BeforeValidator(_peers),
    must("be a JSON list of peers of a NetworkPolicy, each with namespaceSelector, podSelector or ipBlock"),
]
PRIVATE = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")))
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
Price = Annotated[
    Decimal | None,
    BeforeValidator(lambda text: text or None),
    must("be a price with a decimal point, such as 0.0316"),
]
PriceByResource = Annotated[
    Mapping[Annotated[str, Field(pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$", max_length=317)], Decimal],
    BeforeValidator(_prices),
    must("give a price to each extended resource, as nvidia.com/gpu=2.10, separated by commas"),
]
EnabledAddOns = Annotated[
    tuple[AddOn, ...],
    BeforeValidator(_split),
    must(f"name add-ons, separated by commas: {', '.join(AddOn)}"),
]
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

    max_tier: Tier = Tier.ENTERPRISE
    """Highest tier in namespaces without the label `ttsfleet.io/max-tier`: `Basic`, `VIP` or `Enterprise`."""
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = 1000
    """Most replicas of a pool in namespaces without the label `ttsfleet.io/max-replicas`."""
    max_accelerators: Annotated[int, Field(ge=0, le=1_000_000)] = 1_000_000
    """Most accelerators of a pool, those of a replica times its replicas, in namespaces without the label
    `ttsfleet.io/max-accelerators`."""


@dataclass(frozen=True)
class Prices:
    """Prices of resources, for models that give none."""

    __pydantic_config__ = DOCUMENTED

    cpu_hour: Price = None
    """Price of one CPU for an hour, in the currency of `hourlyCost`. Default: no price."""
    memory_gib_hour: Price = None
    """Price of one GiB of memory for an hour. Default: no price."""
    extended_resources_hour: PriceByResource = field(default_factory=dict)
    """Price of one unit of each extended resource for an hour, as `nvidia.com/gpu=2.10`, separated by commas."""


@dataclass(frozen=True, kw_only=True)
class WakerSettings:
    """Waker, which answers for tenants whose schedule has no replicas."""

    __pydantic_config__ = DOCUMENTED

    service: Annotated[DNSLabel, must("be the name of a Service")]
    """Service of the waker's pods, in the operator's namespace. Default: no waker; a tenant without replicas has no
    endpoint."""
    first_port: Annotated[int, Field(ge=1024, le=65_535)] = 20_000
    """First port of the waker that belongs to one tenant."""
    ports: Annotated[int, Field(ge=1, le=16_384)] = 4096
    """Number of these ports: as many tenants can have a schedule with a zero."""


@dataclass(frozen=True, kw_only=True)
class KEDASettings:
    """Metrics by which KEDA scales tenants."""

    __pydantic_config__ = DOCUMENTED

    prometheus_address: Annotated[BaseURL, must("be http[s]://host[:port], without a password")]
    """Prometheus from which KEDA reads the metrics InFlight and QueueDepth of tenants, as KEDA reaches it. Default:
    none; tenants with these metrics are scaled by CPU."""


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
    allowed_hosts: Annotated[AllowedHosts, NotInPods()] = ()
    """Hosts, separated by commas, that tenants may name for their stores and issuers: names, `*.` and a suffix,
    addresses, networks, or `*` for all. Default: only Services of the tenant's own namespace, and the hosts of
    `--redis-url` and `--s3-endpoint`."""
    api_server_hosts: Annotated[
        tuple[str, ...], BeforeValidator(_split), AlsoFrom("KUBERNETES_SERVICE_HOST"), NotInPods()
    ] = ()
    """Hosts of the API server, separated by commas, which no tenant may name."""
    internal_networks: Annotated[InternalNetworks, NotInPods()] = PRIVATE
    """Networks of the cluster, as CIDRs separated by commas, which stay closed to tenants' pods where a NetworkPolicy
    opens a port to a host outside."""
    metrics_from: Annotated[Peers, NotInPods()] = ()
    """Peers that may read the metrics of tenants' pods, as the JSON of a NetworkPolicy's `from`. Default: none."""
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
    add_ons: Annotated[EnabledAddOns, NotInPods()] = ()
    """Add-ons of the cluster, separated by commas, of whose kinds the operator writes objects: `keda` for tenants with
    `spec.autoscaling.provider: KEDA`. Default: none."""
    redis: RedisDefault | None = None
    s3: S3Default | None = None
    tiers: Annotated[Tiers, NotInPods()] = field(default_factory=Tiers)
    ceilings: Annotated[DefaultCeilings, NotInPods()] = field(default_factory=DefaultCeilings)
    prices: Annotated[Prices, NotInPods()] = field(default_factory=Prices)
    waker: Annotated[WakerSettings | None, NotInPods()] = None
    keda: Annotated[KEDASettings | None, NotInPods()] = None

    @cached_property
    def of_pods(self) -> str:
        """The settings that pods may depend on, as JSON. Computed once: every tenant's reconcile compares it."""
        return json.dumps(pod_settings(self), sort_keys=True, default=str)


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
    half of them, rounded up."""
    rollout_failure_namespaces: Annotated[int, Field(ge=1, le=1000)] = 2
    """Number of namespaces with a tenant that fails with a change, from which on no further tenant starts it."""
    log_level: LogLevel = "info"
    """Lowest level of log lines: `debug`, `info`, `warning` or `error`."""


@dataclass(frozen=True)
class WakerProcessSettings:
    """Settings of the waker process."""

    __pydantic_config__ = DOCUMENTED

    watch_namespaces: Annotated[
        tuple[DNSLabel, ...], BeforeValidator(_split), must("be names of namespaces, separated by commas")
    ] = ()
    """Namespaces, separated by commas, whose tenants the waker answers for. Default: all namespaces."""
    release: str = ""
    """Release of the operator whose tenants the waker answers for: namespace and name of its Lease, as
    `ttsfleet-system/tts-operator`. Default: every release."""
    first_port: Annotated[int, Field(ge=1024, le=65_535)] = 20_000
    """First port that belongs to one tenant."""
    ports: Annotated[int, Field(ge=1, le=16_384)] = 4096
    """Number of these ports."""
    metrics_port: Port = 8080
    """Port of `/metrics`; 0 chooses a free one."""
    health_port: Port = 8081
    """Port of `/healthz` and `/readyz`; 0 chooses a free one."""
    max_body_bytes: Annotated[int, Field(ge=1024, le=67_108_864)] = 1_048_576
    """Most bytes of a request's body; a larger one is answered with status 413."""
    tenant_requests: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Most requests of one tenant that are held or passed on at a time; further ones are answered with status 503."""
    tenant_bytes: Annotated[int, Field(ge=1024, le=1_073_741_824)] = 16_777_216
    """Most bytes of the bodies of these requests."""
    total_requests: Annotated[int, Field(ge=1, le=100_000)] = 2048
    """Most requests of all tenants that are held or passed on at a time."""
    total_bytes: Annotated[int, Field(ge=1024, le=1_073_741_824)] = 67_108_864
    """Most bytes of the bodies of these requests."""
    drain_seconds: Annotated[int, Field(ge=0, le=3600)] = 100
    """Longest time that requests may take after SIGTERM."""
    log_level: LogLevel = "info"
    """Lowest level of log lines: `debug`, `info`, `warning` or `error`."""


NOT_IN_PODS = frozenset(
    name
    for name, hint in get_type_hints(Settings, include_extras=True).items()
    if any(isinstance(note, NotInPods) for note in getattr(hint, "__metadata__", ()))
)


def pod_settings(settings: Settings) -> dict[str, Any]:
    """The settings that pods may depend on, by name."""
    return {name: value for name, value in dataclasses.asdict(settings).items() if name not in NOT_IN_PODS}
