"""The operator's own configuration, as its flags and its chart set it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from tts_operator.credentials.shared_stores import RedisDefault, S3Default

IPNetwork = IPv4Network | IPv6Network
REQUESTS_PER_MINUTE: Mapping[str, int] = {"Basic": 10, "VIP": 100, "Enterprise": 1000}


@dataclass(frozen=True)
class Settings:
    """What holds for every tenant of one operator."""

    server_image: str
    """Runs where a model names no image."""
    version: str = ""
    """Of the operator: another one may build pods otherwise, and they roll in turn then."""
    namespace: str = "ttsfleet-system"
    """The operator's own."""
    image_pull_policy: str = "IfNotPresent"
    playground: bool = False
    """Whether tenants have a page at `/` to try their voices from."""
    docs: bool = False
    """Whether tenants have a page at `/docs` that describes their API."""
    trusted_proxies: tuple[IPNetwork, ...] = ()
    """Whose `X-Forwarded-For` pods believe; none: a caller's address is its connection's."""
    issuer_hosts: tuple[str, ...] = ()
    """That the key sets of external issuers may come from; none: any host."""
    tracing_endpoint: str = ""
    """Where pods send traces, by OTLP over HTTP; empty: nowhere."""
    tracing_ratio: float = 1.0
    """Of requests that are traced, 0 to 1: by the trace's id, so that every pod of a request decides alike."""
    requests_per_minute: Mapping[str, int] = field(default_factory=lambda: dict(REQUESTS_PER_MINUTE))
    """By tier: the ceiling of a tenant's requestsPerMinute, and its value where the tenant sets none."""
    max_text_characters: int = 4096
    """Where the tenant sets none."""
    pre_stop_seconds: int = 5
    """How long a pod goes on serving while its removal from the Service spreads."""
    drain_seconds: int = 60
    """Longest that a request may go on after SIGTERM."""
    data_size_limit: str = "1Gi"
    """Size of the pod's own volume, where audio waits to be fetched."""
    redis: RedisDefault | None = None
    """For every tenant without one of its own."""
    s3: S3Default | None = None
    """For every tenant without one of its own."""
