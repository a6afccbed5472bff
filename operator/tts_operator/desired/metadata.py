"""Owner references and labels of child objects."""

from collections.abc import Mapping
from typing import Any

from tts_operator.objects.labels import pool_labels, tenant_labels
from tts_operator.objects.names import API_VERSION
from tts_operator.resolve.resolved import Pool, Resolved


def tenant_metadata(resolved: Resolved, name: str) -> dict[str, Any]:
    """Metadata of a child that belongs to the whole tenant."""
    return child_metadata(resolved, name, tenant_labels(resolved.key.name))


def pool_metadata(resolved: Resolved, pool: Pool, name: str | None = None) -> dict[str, Any]:
    """Metadata of a child that belongs to one pool, by default under the pool's name."""
    return child_metadata(resolved, name or pool.name, pool_labels(resolved.key.name, pool.model_name))


def child_metadata(resolved: Resolved, name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """Metadata with a controller reference, by which Kubernetes deletes the child after its tenant."""
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
