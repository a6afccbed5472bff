"""Who owns a child, and how it is found again."""

from collections.abc import Mapping
from typing import Any

from tts_operator.objects.labels import pool_labels, tenant_labels
from tts_operator.objects.names import API_VERSION
from tts_operator.resolve.resolved import Pool, Resolved


def tenant_metadata(resolved: Resolved, name: str) -> dict[str, Any]:
    """Of a child that belongs to the tenant as a whole."""
    return metadata(resolved, name, tenant_labels(resolved.key.name))


def pool_metadata(resolved: Resolved, pool: Pool, name: str | None = None) -> dict[str, Any]:
    """Of a child that belongs to one pool; it has the pool's own name unless told otherwise."""
    return metadata(resolved, name or pool.name, pool_labels(resolved.key.name, pool.model_name))


def metadata(resolved: Resolved, name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """The controller reference makes Kubernetes remove the child after its tenant, and keeps other controllers away."""
    return {
        "name": name,
        "namespace": resolved.key.namespace,
        "labels": dict(labels),
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": "TTSTenant",
                "name": resolved.key.name,
                "uid": resolved.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
