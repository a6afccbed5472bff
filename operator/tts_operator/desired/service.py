"""The addresses: one per tenant for its callers, one per pool for the entry pool, one of all pods for each other."""

from tts_operator.desired.metadata import pool_metadata, tenant_metadata
from tts_operator.objects.labels import POOL_LABEL, TENANT_LABEL
from tts_operator.objects.manifest import Manifest
from tts_operator.objects.names import peers_service_name
from tts_operator.resolve.resolved import Pool, Resolved
from tts_server.config.schema import HTTP_PORT

TENANT_PORT = 80


def tenant_service(resolved: Resolved) -> Manifest:
    """What callers know. It always has a ClusterIP: only its selector moves, to the pool that is the entry now.

    Of this tenant: pool `a-b-c` is of tenant `a` with model `b-c`, or of tenant `a-b` with model `c`, who comes first.
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


def peers_service(resolved: Resolved) -> Manifest | None:
    """Where pods find one another's files, ready or not; None where audio is kept elsewhere.

    Over every pool: links that a former entry pool has given out lead to its pods as long as they live.
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
