"""Hosts that tenants name, to which the platform's pods then send requests: which ones the platform allows.

Never allowed are hosts that belong to the node, to its cloud or to Kubernetes. A name that only resolves to such an
address is the server's to refuse: it connects to what the name means then.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import urlsplit

from tts_operator.api import TTSTenant
from tts_operator.credentials.shared_stores import SharedRedis
from tts_operator.objects.problem import Problem
from tts_operator.settings import Settings
from tts_server.config.hosts import Address, BadHost, embedded, is_local, parse_host

CHART_VALUE = "tenants.allowedHosts"
CLUSTER_DOMAIN = "cluster.local"
API_SERVER = ("kubernetes", "default")
"""Name and namespace of the API server's Service."""
DASHED_ADDRESS = re.compile(r"[0-9]{1,3}(-[0-9]{1,3}){3}|[0-9a-f]{0,4}(-[0-9a-f]{0,4}){2,7}")
"""The first label of a name by which cluster DNS answers with an address of a pod."""
LOCAL_NAMES = frozenset(
    {
        "localhost",
        "localhost.localdomain",
        "ip6-localhost",
        "ip6-loopback",
        "metadata",
        "metadata.goog",
        "metadata.google.internal",
        "instance-data",
        "instance-data.ec2.internal",
    }
)


def disallowed_host(tenant: TTSTenant, settings: Settings) -> Problem | None:
    """The first field of the spec whose host tenants may not name."""
    for named in disallowed_urls(tenant, settings):
        return Problem("HostNotAllowed", f"{named.field}: host {named.host} {named.fault}")
    return bucket_in_the_host(tenant, settings)


def bucket_in_the_host(tenant: TTSTenant, settings: Settings) -> Problem | None:
    """Refuse a Service by its short name where requests name the bucket before it: `bucket.name` is elsewhere."""
    store = tenant.spec.storage.s3 if tenant.spec.storage else None
    if store is None or store.path_style:
        return None
    host = parse_host(urlsplit(store.endpoint).hostname or "")
    if not isinstance(host, str) or "." in host or host in settings.allowed_hosts:
        return None
    return Problem(
        "HostNotAllowed",
        f"spec.storage.s3.pathStyle: must be true for the Service {host}: otherwise requests go to"
        f" {store.bucket}.{host}, a Service of another namespace",
    )


class DisallowedURL(NamedTuple):
    """A field of the spec whose host tenants may not name."""

    field: str
    url: str
    host: str
    fault: str
    """Why, as the end of a sentence."""


def disallowed_urls(tenant: TTSTenant, settings: Settings) -> Iterator[DisallowedURL]:
    """Each field of the spec whose host tenants may not name."""
    for field, url in named_urls(tenant):
        host = urlsplit(url).hostname or ""
        if fault := fault_of(host, tenant.metadata.namespace, settings):
            yield DisallowedURL(field, url, host, fault)


def blocked_urls(tenant: TTSTenant, settings: Settings) -> set[str]:
    """URLs of the spec that pods must not reach."""
    blocked = {named.url for named in disallowed_urls(tenant, settings)}
    if tenant.spec.storage and tenant.spec.storage.s3 and bucket_in_the_host(tenant, settings):
        blocked.add(tenant.spec.storage.s3.endpoint)
    return blocked


def named_urls(tenant: TTSTenant) -> Iterator[tuple[str, str]]:
    """Each field of the spec whose URL pods connect to, with its value.

    `publicEndpoint` is not among them: links are signed for it, and only callers follow them.
    """
    if tenant.spec.storage and tenant.spec.storage.s3:
        yield "spec.storage.s3.endpoint", tenant.spec.storage.s3.endpoint
    if tenant.spec.auth and tenant.spec.auth.external:
        yield "spec.auth.external.jwksURL", tenant.spec.auth.external.jwks_url


def with_allowed_host(redis: SharedRedis, namespace: str, settings: Settings) -> SharedRedis:
    """The Redis, without its host if that is the tenant's own and not allowed: pods then cannot reach it."""
    if redis.user or not redis.host:
        return redis
    fault = fault_of(redis.host, namespace, settings)
    if not fault:
        return redis
    source = f"spec.redis.secretRef: `url` of Secret {redis.secret_name}"
    message = f"{source}: host {redis.host} {fault}; until then each replica enforces its share of the limits"
    return replace(redis, host="", problem=Problem("RedisHostNotAllowed", message))


def fault_of(text: str, namespace: str, settings: Settings) -> str:
    """Why a tenant of this namespace may not name the host, as the end of a sentence; empty if it may."""
    try:
        host = parse_host(text)
    except BadHost as error:
        return str(error)
    if is_api_server(host, namespace, settings):
        return "is never allowed: it is the API server"
    if is_node_or_cloud(host):
        return "is never allowed: it is a loopback, link-local or metadata address"
    if is_own_service(host, namespace) or str(host) in store_hosts(settings):
        return ""
    if any(matches(entry, host) for entry in settings.allowed_hosts):
        return ""
    allowed = ", ".join(settings.allowed_hosts) or "empty"
    return f"is not allowed: ask the platform team to add it to {CHART_VALUE} of the chart (now {allowed})"


def is_api_server(host: Address | str, namespace: str, settings: Settings) -> bool:
    """Whether the host is the API server, by the name of its Service or by an address of it.

    Cluster DNS also answers for what precedes the name of a Service, such as 10-0-0-1.kubernetes.default.svc. An
    address may be written inside an IPv6 one, for a translator.
    """
    known = {parsed for text in settings.api_server_hosts if (parsed := parsed_or_none(text)) is not None}
    if not isinstance(host, str):
        return any(each in known for each in (host, *embedded(host)))
    labels = host.split(".")
    return host in known or API_SERVER in pairwise(labels) or API_SERVER in pairwise((*labels[-1:], namespace))


def parsed_or_none(text: str) -> Address | str | None:
    """The host, or None if it has an ambiguous notation."""
    try:
        return parse_host(text)
    except BadHost:
        return None


def is_node_or_cloud(host: Address | str) -> bool:
    """Whether the host is a loopback, link-local or metadata one, or a name that spells an address.

    Cluster DNS answers 169-254-169-254.any-namespace.pod.cluster.local with the address in it.
    """
    if not isinstance(host, str):
        return is_local(host)
    if host in LOCAL_NAMES or host.endswith((".localhost", ".pod", f".pod.{CLUSTER_DOMAIN}")):
        return True
    first, *others = host.split(".")
    return DASHED_ADDRESS.fullmatch(first) is not None and "pod" in others  # in clusters with a domain of their own


def is_own_service(host: Address | str, namespace: str) -> bool:
    """Whether the host is a Service of the tenant's namespace, which needs nobody's permission."""
    if not isinstance(host, str):
        return False
    name = host.removesuffix(f".{CLUSTER_DOMAIN}") if host.endswith(f".svc.{CLUSTER_DOMAIN}") else host
    return "." not in name or name.endswith(f".{namespace}.svc")


def store_hosts(settings: Settings) -> Iterator[str]:
    """Hosts of the operator's stores: tenants may have accounts of their own there."""
    if settings.redis:
        yield settings.redis.url.host
    if settings.s3:
        yield urlsplit(settings.s3.endpoint).hostname or ""


def matches(entry: str, host: Address | str) -> bool:
    """Whether an entry of the list allows the host. `*.example` allows every name below example, at any depth."""
    if entry == "*":
        return True
    if isinstance(host, str):
        return entry == host or (entry.startswith("*.") and host.endswith(entry[1:]))
    try:
        return host in ip_network(entry)
    except ValueError:
        return False


def named_by_platform(host: str, settings: Settings) -> bool:
    """Whether the platform itself names this very host: it knows whether it means a Service."""
    tracing = urlsplit(settings.tracing_endpoint).hostname or ""
    named = (*settings.allowed_hosts, *store_hosts(settings), tracing)
    return any(parsed_or_none(each) == host for each in named if each)


def service_namespace(host: str, namespace: str, *, platform: bool = False) -> str:
    """The namespace of the Service that pods of this namespace reach by the name; empty for no Service.

    A policy opens a port to that namespace. So of what a tenant chooses, `x.team.svc.corp.example` is a host outside,
    and so is a name of two parts in which `team` may be a domain: both would open the way to a namespace that the
    platform did not think of. Of what the `platform` names, the first is a Service of a cluster with another domain,
    and the second may be either: DNS tries the Service first.
    """
    labels = host.split(".")
    if len(labels) == 1:
        return namespace
    of_service = host.removesuffix(f".{CLUSTER_DOMAIN}").split(".")
    if len(of_service) > 2 and of_service[-1] == "svc":
        return of_service[-2]
    if platform and "svc" in labels[2:]:
        return labels[len(labels) - 2 - labels[::-1].index("svc")]
    return labels[1] if len(labels) == 2 and (platform or labels[1] == namespace) else ""
