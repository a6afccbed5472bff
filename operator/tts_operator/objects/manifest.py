"""What the pure parts hand to the edges: a Kubernetes object as plain data, and how to name one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

Body = Mapping[str, Any]
"""A Kubernetes object as JSON. ``Any`` because it comes from and goes to the API server as is."""

SHORT_NAMES = {
    "ConfigMap": "cm",
    "Deployment": "deploy",
    "HorizontalPodAutoscaler": "hpa",
    "NetworkPolicy": "netpol",
    "Pod": "po",
    "PodDisruptionBudget": "pdb",
    "Secret": "secret",
    "Service": "svc",
    "ServiceAccount": "sa",
}


@dataclass(frozen=True, order=True)
class Ref:
    """Where an object is. ``namespace`` is empty for cluster-scoped kinds."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """As a person types it after ``kubectl get``."""
        return f"{SHORT_NAMES.get(self.kind, self.kind.lower())}/{self.name}"


@dataclass(frozen=True)
class Manifest:
    """An object to apply: every field in ``body`` is owned by the operator, none outside it is."""

    ref: Ref
    body: Body

    @classmethod
    def of(cls, body: Body) -> Self:
        """Name a whole object by its own apiVersion, kind and metadata."""
        return cls(ref_of(body), body)


def ref_of(body: Body) -> Ref:
    """Where a whole object says it is."""
    metadata = body["metadata"]
    return Ref(body["apiVersion"], body["kind"], metadata.get("namespace", ""), metadata["name"])
