"""Kubernetes objects as plain data, and references to them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from tts_operator.objects.kinds import SHORT_NAMES, Kind

Body = Mapping[str, Any]
"""A Kubernetes object as JSON. ``Any`` because it comes from and goes to the API server as is."""


@dataclass(frozen=True, order=True)
class Ref:
    """Reference to one object. ``namespace`` is empty for cluster-scoped kinds."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, kind: Kind, namespace: str, name: str) -> Self:
        """An object of a kind in the table."""
        return cls(kind.api_version, kind.name, namespace, name)

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
        """Take the reference from the body's own apiVersion, kind and metadata."""
        return cls(ref_of(body), body)

    def of_uid(self, live: Body) -> "Manifest":
        """Restrict an apply to this live object: if it is gone meanwhile, that is a conflict, and creates nothing."""
        metadata = {**self.body["metadata"], "uid": str(live["metadata"].get("uid", ""))}
        return Manifest(self.ref, {**self.body, "metadata": metadata})


def ref_of(body: Body) -> Ref:
    """Reference to a whole object, by its apiVersion, kind and metadata."""
    metadata = body["metadata"]
    return Ref(body["apiVersion"], body["kind"], metadata.get("namespace", ""), metadata["name"])
