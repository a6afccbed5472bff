"""NetworkPolicy of a pool."""

from collections.abc import Iterable, Iterator
from ipaddress import collapse_addresses, ip_network
from typing import Any
from urllib.parse import urlsplit

from tts_operator.credentials.model_sources import stores
from tts_operator.desired.metadata import pool_metadata
from tts_operator.objects.labels import POOL_LABEL, TENANT_LABEL
from tts_operator.objects.manifest import Manifest
from tts_operator.pod_files.server_config import current_model_config
from tts_operator.pod_files.speech_server import speech_server_engine
from tts_operator.resolve.hosts import blocked_urls, named_by_platform, service_namespace
from tts_operator.resolve.resolved import Pool, Resolved
from tts_operator.settings import IPNetwork, Settings
from tts_server.config.hosts import LOCAL, BadHost, parse_host
from tts_server.config.schema import HTTP_PORT, METRICS_PORT, SpeechServerEngine

DNS_PORT = 53
EVERYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))


def network_policy(resolved: Resolved, pool: Pool) -> Manifest:
    """Allow requests to an entry pool from anywhere, and to other pools only from the tenant's own pods.

    Egress is what the role needs. An entry pool may reach DNS, the tenant's other pools, its stores and the issuer of
    its callers' tokens. A member may reach nothing, so a compromised engine cannot send text out. The pool of a model
    with engine Remote may reach DNS and its speech server, too; one with files in an object store, DNS and that store.
    With tracing, every pool may reach DNS and the collector. Metrics are open to the platform's scrapers alone.
    """
    siblings = {"podSelector": {"matchLabels": {TENANT_LABEL: resolved.key.name}}}
    entry = pool.role == "Entry"
    requests: dict[str, Any] = {"ports": [policy_port("TCP", HTTP_PORT)]}
    if not entry:
        requests["from"] = [siblings]
    scrapers = [dict(peer) for peer in resolved.settings.metrics_from]
    return Manifest.of(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": pool_metadata(resolved, pool),
            "spec": {
                "podSelector": {"matchLabels": {POOL_LABEL: pool.name}},
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [
                    requests,
                    *([{"from": scrapers, "ports": [policy_port("TCP", METRICS_PORT)]}] if scrapers else []),
                ],
                "egress": [
                    dns_rule(),
                    {"to": [siblings], "ports": [policy_port("TCP", HTTP_PORT)]},
                    *store_rules(resolved),
                    *remote_rules(resolved, pool),
                    *tracing_rules(resolved),
                    *source_rules(resolved, pool),
                ]
                if entry
                else [dns_rule(), *out]
                if (
                    out := [
                        *remote_rules(resolved, pool),
                        *tracing_rules(resolved),
                        *source_rules(resolved, pool),
                    ]
                )
                else [],
            },
        }
    )


def dns_rule() -> dict[str, Any]:
    """Egress rule for DNS, to any address: clusters run it in different places."""
    return {"ports": [policy_port("UDP", DNS_PORT), policy_port("TCP", DNS_PORT)]}


def tracing_rules(resolved: Resolved) -> list[dict[str, Any]]:
    """Egress rule for the trace collector; empty without tracing."""
    endpoint = resolved.settings.tracing_endpoint
    return [host_rule(resolved, *host_and_port(endpoint))] if endpoint else []


def remote_rules(resolved: Resolved, pool: Pool) -> list[dict[str, Any]]:
    """Egress rules for the speech server of the pool's model, as its pods' server.json names it and as it is to be.

    The two differ while pods wait for their rollout: they keep the engine that they have.
    """
    current = current_model_config(resolved, pool, pool)
    engines = [current.engine] if current is not None else []
    if pool.model is not None:
        engines += [each] if (each := speech_server_engine(pool.model)) else []
    urls = [each.url for each in engines if isinstance(each, SpeechServerEngine) and each.type == "Remote"]
    return [host_rule(resolved, *each) for each in sorted({host_and_port(url) for url in urls})]


def source_rules(resolved: Resolved, pool: Pool) -> list[dict[str, Any]]:
    """Egress rules for the object stores with the files of the pool's model; empty where they are elsewhere.

    A policy cannot tell containers apart: the server can reach the store, too.
    """
    model = resolved.observed.models.get(pool.model_name)  # also while it cannot be used: its pods may start anew
    hosts = {host_and_port(store.endpoint) for store in stores(model).values()} if model else set()
    return [host_rule(resolved, *each) for each in sorted(hosts)]


def store_rules(resolved: Resolved) -> list[dict[str, Any]]:
    """Egress rules for the tenant's object store, its Redis and the issuer of its callers' tokens.

    A host that the platform no longer allows has none, although the last accepted spec, which applies, names it.
    """
    if resolved.tenant is None:
        return []
    auth = resolved.tenant.spec.auth
    urls = [resolved.s3.endpoint] if resolved.s3 else []
    urls += [auth.external.jwks_url] if auth and auth.external else []
    blocked = blocked_urls(resolved.tenant, resolved.settings)
    hosts = {host_and_port(url) for url in urls if url not in blocked}
    if resolved.redis and resolved.redis.host and resolved.redis.port:
        hosts.add((resolved.redis.host, resolved.redis.port))
    return [host_rule(resolved, *each) for each in sorted(hosts, key=lambda each: (each[1], each[0]))]


def host_rule(resolved: Resolved, host: str, port: int) -> dict[str, Any]:
    """Egress rule for one port of one host, as far as a policy can express it: there are no names in policies."""
    peers = list(host_peers(host, resolved.key.namespace, resolved.settings))
    return {"to": peers, "ports": [policy_port("TCP", port)]}


def host_peers(host: str, namespace: str, settings: Settings) -> Iterator[dict[str, Any]]:
    """An address is itself, a Service the namespace that has it, and any other name all that is outside the cluster."""
    try:
        parsed = parse_host(host)
    except BadHost:  # the platform's own: those of tenants have been checked
        parsed = host
    if not isinstance(parsed, str):
        yield {"ipBlock": {"cidr": str(ip_network(parsed))}}
        return
    service = service_namespace(parsed, namespace, platform=named_by_platform(parsed, settings))
    if service:
        yield {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": service}}}
    if not service or parsed.count(".") == 1:
        yield from outside(settings)


def outside(settings: Settings) -> Iterator[dict[str, Any]]:
    """All addresses except internal ones, and the networks that the platform allows all the same."""
    for network in EVERYWHERE:
        yield ip_block(network, (*LOCAL, *settings.internal_networks))
    for entry in settings.allowed_hosts:
        if "/" in entry:
            yield ip_block(ip_network(entry), LOCAL)


def ip_block(network: IPNetwork, excluded: Iterable[IPNetwork]) -> dict[str, Any]:
    """Peer with the addresses of a network, except those of others within it."""
    kind = type(network)
    inside = [each for each in excluded if isinstance(each, kind) and each.subnet_of(network)]  # type: ignore[arg-type]  # of one kind
    exceptions = [str(each) for each in collapse_addresses(inside)]  # type: ignore[type-var]  # of one kind
    return {"ipBlock": {"cidr": str(network), **({"except": exceptions} if exceptions else {})}}


def host_and_port(url: str) -> tuple[str, int]:
    """Host and port of a URL; the port is explicit or the default of its scheme."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def policy_port(protocol: str, number: int) -> dict[str, Any]:
    """A port with every field that the API server would default: lists of a NetworkPolicy are compared whole."""
    return {"protocol": protocol, "port": number}
