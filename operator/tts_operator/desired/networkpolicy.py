"""NetworkPolicy of a pool."""

from typing import Any
from urllib.parse import urlsplit

from tts_operator.desired.metadata import pool_metadata
from tts_operator.objects.labels import POOL_LABEL, TENANT_LABEL
from tts_operator.objects.manifest import Manifest
from tts_operator.resolve.resolved import Pool, Resolved
from tts_server.config.schema import HTTP_PORT, METRICS_PORT

DNS_PORT = 53


def network_policy(resolved: Resolved, pool: Pool) -> Manifest:
    """Allow requests to an entry pool from anywhere, and to other pools only from the tenant's own pods.

    Egress is what the role needs. An entry pool may reach DNS, the tenant's other pools, its stores and the issuer of
    its callers' tokens; the last two by port, since a policy has no host names. A member may reach nothing, so a
    compromised engine cannot send text out. With tracing, every pool may reach DNS and the collector.
    """
    siblings = {"podSelector": {"matchLabels": {TENANT_LABEL: resolved.key.name}}}
    entry = pool.role == "Entry"
    requests: dict[str, Any] = {"ports": [policy_port("TCP", HTTP_PORT)]}
    if not entry:
        requests["from"] = [siblings]
    return Manifest.of(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": pool_metadata(resolved, pool),
            "spec": {
                "podSelector": {"matchLabels": {POOL_LABEL: pool.name}},
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [requests, {"ports": [policy_port("TCP", METRICS_PORT)]}],
                "egress": [
                    dns_rule(),
                    {"to": [siblings], "ports": [policy_port("TCP", HTTP_PORT)]},
                    *({"ports": [policy_port("TCP", number)]} for number in outside_ports(resolved)),
                    *tracing_rules(resolved),
                ]
                if entry
                else [dns_rule(), *out]
                if (out := tracing_rules(resolved))
                else [],
            },
        }
    )


def dns_rule() -> dict[str, Any]:
    """Egress rule for DNS, to any address: clusters run it in different places."""
    return {"ports": [policy_port("UDP", DNS_PORT), policy_port("TCP", DNS_PORT)]}


def tracing_rules(resolved: Resolved) -> list[dict[str, Any]]:
    """Egress rules for the trace collector, only in its namespace if it is a Service; empty without tracing."""
    endpoint = resolved.settings.tracing_endpoint
    if not endpoint:
        return []
    rule: dict[str, Any] = {"ports": [policy_port("TCP", port_of(endpoint))]}
    name = (urlsplit(endpoint).hostname or "").split(".")
    if len(name) > 2 and name[2] == "svc":
        rule["to"] = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name[1]}}}]
    return [rule]


def outside_ports(resolved: Resolved) -> list[int]:
    """Ports of the tenant's object store, its Redis and the issuer of its callers' tokens."""
    if resolved.tenant is None:
        return []
    auth = resolved.tenant.spec.auth
    addresses = [resolved.s3.endpoint] if resolved.s3 else []
    addresses += [auth.external.jwks_url] if auth and auth.external else []
    redis = {resolved.redis.port} if resolved.redis and resolved.redis.port else set()
    return sorted({port_of(address) for address in addresses} | redis)


def port_of(address: str) -> int:
    """Port of a URL, explicit or the default of its scheme."""
    url = urlsplit(address)
    return url.port or (443 if url.scheme == "https" else 80)


def policy_port(protocol: str, number: int) -> dict[str, Any]:
    """A port with every field that the API server would default: lists of a NetworkPolicy are compared whole."""
    return {"protocol": protocol, "port": number}
