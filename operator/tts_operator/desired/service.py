"""The addresses: one per tenant for its callers, one per pool for the entry pool."""

from tts_operator.desired.metadata import pool_metadata, tenant_metadata
from tts_operator.manifest import Manifest
from tts_operator.names import POOL_LABEL
from tts_operator.resolve import Pool, Resolved
from tts_server.config import HTTP_PORT

TENANT_PORT = 80


def tenant_service(resolved: Resolved) -> Manifest:
    """What callers know. It always has a ClusterIP: only its selector moves, to the pool that is the entry now."""
    return Manifest.of(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": tenant_metadata(resolved, resolved.key.name),
            "spec": {
                "type": "ClusterIP",
                "selector": {POOL_LABEL: resolved.entry},
                "ports": [{"name": "http", "port": TENANT_PORT, "targetPort": "http", "protocol": "TCP"}],
            },
        }
    )


def pool_service(resolved: Resolved, pool: Pool) -> Manifest:
    """How the tenant's entry pool reaches this one."""
    return Manifest.of(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": pool_metadata(resolved, pool),
            "spec": {
                "type": "ClusterIP",
                "selector": {POOL_LABEL: pool.name},
                "ports": [{"name": "http", "port": HTTP_PORT, "targetPort": "http", "protocol": "TCP"}],
            },
        }
    )


def pool_url(pool: str, namespace: str) -> str:
    """Base address of a pool's Service, from inside the cluster."""
    return f"http://{pool}.{namespace}.svc:{HTTP_PORT}"
