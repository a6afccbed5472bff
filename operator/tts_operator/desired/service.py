"""Services: one per tenant for callers, one per pool for the entry pool, and a headless one over all pods."""

from tts_operator.desired.metadata import pool_metadata, tenant_metadata
from tts_operator.objects.labels import POOL_LABEL, TENANT_LABEL
from tts_operator.objects.manifest import Manifest
from tts_operator.objects.names import peers_service_name
from tts_operator.resolve.resolved import Pool, Resolved
from tts_server.config.schema import HTTP_PORT

TENANT_PORT = 80


def tenant_service(resolved: Resolved) -> Manifest:
    """Service for callers. Its ClusterIP stays; only its selector changes, to the current entry pool.

    It also selects by tenant, because the name of a pool does not identify one: `a-b-c` is the name for tenant `a` with
    model `b-c`, and for tenant `a-b` with model `c`.
    """
    return Manifest.of(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": tenant_metadata(resolved, resolved.key.name),
            "spec": {
                "type": "ClusterIP",
                "selector": {TENANT_LABEL: resolved.key.name, POOL_LABEL: resolved.entry},
                "ports": [{"name": "http", "port": TENANT_PORT, "targetPort": "http", "protocol": "TCP"}],
            },
        }
    )


def pool_service(resolved: Resolved, pool: Pool) -> Manifest:
    """Service through which the tenant's entry pool calls this pool."""
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


def peers_service(resolved: Resolved) -> Manifest | None:
    """Headless Service with which pods fetch one another's files; None if audio is in an object store.

    It selects pods of every pool, ready or not: links that a former entry pool issued are served by its own pods.
    """
    if resolved.s3 is not None:
        return None
    return Manifest.of(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": tenant_metadata(resolved, peers_service_name(resolved.key.name)),
            "spec": {
                "type": "ClusterIP",
                "clusterIP": "None",
                "publishNotReadyAddresses": True,
                "selector": {TENANT_LABEL: resolved.key.name},
                "ports": [{"name": "http", "port": HTTP_PORT, "targetPort": "http", "protocol": "TCP"}],
            },
        }
    )
