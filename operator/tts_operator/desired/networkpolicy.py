"""Who may reach a pool, and whom it may reach."""

from typing import Any
from urllib.parse import urlsplit

from tts_operator.desired.metadata import pool_metadata
from tts_operator.objects.labels import POOL_LABEL, TENANT_LABEL
from tts_operator.objects.manifest import Manifest
from tts_operator.resolve.resolved import Pool, Resolved
from tts_server.config.schema import HTTP_PORT, METRICS_PORT

DNS_PORT = 53


def network_policy(resolved: Resolved, pool: Pool) -> Manifest:
    """Callers come to the entry pool from anywhere, with a key; to other pools only the tenant's own pods come.

    Out of a pod goes what its role needs: an entry pool looks up and calls the tenant's other pools, its stores and the
    issuer of its callers' tokens, these by their ports, since a policy knows no host names; a member nothing.
    So a text cannot leave through a compromised engine. Where traces are on, every pool may reach their collector.
    """
    siblings = {"podSelector": {"matchLabels": {TENANT_LABEL: resolved.key.name}}}
    entry = pool.role == "Entry"
    speech: dict[str, Any] = {"ports": [port("TCP", HTTP_PORT)]}
    if not entry:
        speech["from"] = [siblings]
    return Manifest.of(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": pool_metadata(resolved, pool),
            "spec": {
                "podSelector": {"matchLabels": {POOL_LABEL: pool.name}},
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [speech, {"ports": [port("TCP", METRICS_PORT)]}],
                "egress": [
                    look_up(),
                    {"to": [siblings], "ports": [port("TCP", HTTP_PORT)]},
                    *({"ports": [port("TCP", number)]} for number in outside_ports(resolved)),
                    *traces(resolved),
                ]
                if entry
                else [look_up(), *out]
                if (out := traces(resolved))
                else [],
            },
        }
    )


def look_up() -> dict[str, Any]:
    """DNS, wherever the cluster has it."""
    return {"ports": [port("UDP", DNS_PORT), port("TCP", DNS_PORT)]}


def traces(resolved: Resolved) -> list[dict[str, Any]]:
    """To the collector's port, in the collector's namespace where its address is that of a Service."""
    endpoint = resolved.settings.tracing_endpoint
    if not endpoint:
        return []
    rule: dict[str, Any] = {"ports": [port("TCP", port_of(endpoint))]}
    name = (urlsplit(endpoint).hostname or "").split(".")
    if len(name) > 2 and name[2] == "svc":
        rule["to"] = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name[1]}}}]
    return [rule]


def outside_ports(resolved: Resolved) -> list[int]:
    """Where the tenant's object store, its Redis and the issuer of its callers' tokens listen."""
    if resolved.tenant is None:
        return []
    auth = resolved.tenant.spec.auth
    addresses = [resolved.s3.endpoint] if resolved.s3 else []
    addresses += [auth.external.jwks_url] if auth and auth.external else []
    redis = {resolved.redis.port} if resolved.redis and resolved.redis.port else set()
    return sorted({port_of(address) for address in addresses} | redis)


def port_of(address: str) -> int:
    """Of a URL, written or implied."""
    url = urlsplit(address)
    return url.port or (443 if url.scheme == "https" else 80)


def port(protocol: str, number: int) -> dict[str, Any]:
    """As the API server would complete it: a NetworkPolicy's lists are compared whole."""
    return {"protocol": protocol, "port": number}
