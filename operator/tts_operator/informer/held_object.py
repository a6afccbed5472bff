"""One Kubernetes object as the informer holds it: bytes, without what no reconcile reads.

A parsed object of 3 kB takes 20 kB as a tree of Python objects, and there are eleven for each tenant. The largest part
of it, the field sets of managedFields, is the same for every tenant, and is held once.

Whoever may edit one namespace decides how large its objects are. So one that is larger than what the operator writes is
held as an outline of a few hundred bytes: a reconcile that needs the rest reads it from the API server.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from tts_operator.informer.outline import MAX_TEXT_CHARACTERS, outline
from tts_operator.informer.shared_bytes import SharedBytes
from tts_operator.objects.fields import decimal
from tts_operator.objects.kinds import (
    CHILDREN,
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    NAMESPACE,
    POD,
    SCALED_OBJECT,
    TENANT,
    Kind,
)
from tts_operator.objects.labels import MANAGED_BY, TENANT_LABEL
from tts_operator.objects.manifest import Body
from tts_operator.objects.names import GROUP, MANAGER
from tts_operator.objects.ownership import controller_of

POD_METADATA = ("name", "namespace", "uid", "labels", "annotations", "ownerReferences", "deletionTimestamp")
POD_SPEC = ("volumes",)
CONTAINERS = ("containers", "initContainers")
CONTAINER = ("name", "image", "resources")
POD_STATUS = ("phase", "conditions", "containerStatuses", "initContainerStatuses")
FOREIGN_METADATA = (
    "name",
    "namespace",
    "uid",
    "labels",
    "ownerReferences",
    "finalizers",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
MAX_HELD_BYTES = 64 * 2**10
"""Longest content, with managedFields, of one object that is held whole. Most of the operator's have a few kB."""
MAX_FOREIGN_BYTES = 32 * 2**10
"""Longest content of a child's kind that no TTSTenant controls: a Deployment, or another object's metadata."""
MAX_PARSED, MAX_PARSED_BYTES = 128, 8 * 2**10
"""Number of field sets that are held parsed, and the longest one: as trees they take seven times as much, 7 MiB."""
MEASUREMENTS = ("currentMetrics", "lastScaleTime")
"""Fields of an HPA's status that change every 15 s, and that no reconcile reads."""


class HeldObject:
    """An object of which only the content, not its version, decides whether it changed."""

    __slots__ = (
        "changed_at",
        "content",
        "digest",
        "kind",
        "managed",
        "managers",
        "name",
        "namespace",
        "owner",
        "partial",
        "tenant",
        "uid",
        "version",
    )

    def __init__(self, kind: Kind, body: Body, shared: SharedBytes) -> None:
        metadata = body["metadata"]
        self.kind = kind
        labels = metadata.get("labels") or {}
        self.namespace = sys.intern(str(metadata.get("namespace") or ""))
        self.name = sys.intern(str(metadata["name"]))
        self.uid = str(metadata.get("uid") or "")
        self.version = decimal(str(metadata.get("resourceVersion") or ""))
        self.tenant = sys.intern(str(labels.get(TENANT_LABEL) or "") if belongs_to_tenants(kind) else "")
        """Tenant of a child or a pod, by its label; empty without one."""
        self.owner = sys.intern(tenant_name(body) if belongs_to_tenants(kind) else "")
        """Tenant of a child or a pod, by its label or its owner; empty without either."""
        self.managed: bool = labels.get(MANAGED_BY) == MANAGER
        self.content = encoded(reduced(kind, body))
        managers = _split(metadata.get("managedFields") or ()) if names_managers(kind) else []
        self.partial = False
        """Whether a reconcile may need more of the object than is held."""
        self.digest = b""
        """Digest of the content of which an outline is held."""
        limit = limit_bytes(kind, body)
        if limit and len(self.content) + sum(map(len, managers)) > limit:
            self.partial = not is_foreign(body) or kind not in CHILDREN
            self.digest = hashlib.blake2b(self.content, digest_size=16).digest()
            self.content, managers = encoded(outline(kind, body)), []
        self.managers = tuple(shared.one(part) if number % 2 else part for number, part in enumerate(managers))
        self.changed_at = 0
        """Number of the change that brought this content, counted over all objects."""

    def body(self) -> dict[str, Any]:
        """The object as the API server returned it, without what is not held."""
        body: dict[str, Any] = json.loads(self.content)
        body["apiVersion"], body["kind"] = self.kind.api_version, self.kind.name
        body["metadata"]["resourceVersion"] = str(self.version)
        if names_managers(self.kind) and not self.digest:
            body["metadata"]["managedFields"] = _joined(self.managers)
        return body

    def same_content(self, other: "HeldObject") -> bool:
        """Whether both are states of one object with nothing changed in between that any reconcile reads."""
        return (self.uid, self.digest, self.content) == (other.uid, other.digest, other.content)

    @property
    def held_bytes(self) -> int:
        """Size of what is held for this object alone or shared with others."""
        return len(self.content) + sum(map(len, self.managers))


def tenant_name(body: Body) -> str:
    """Tenant of an object: by its label or, if someone removed that, by its owner reference; empty without either."""
    metadata = body["metadata"]
    name = (metadata.get("labels") or {}).get(TENANT_LABEL)
    for owner in metadata.get("ownerReferences") or () if not name else ():
        if owner["kind"] == TENANT.name and owner["apiVersion"].startswith(f"{GROUP}/"):
            name = owner["name"]
    return str(name or "")[:MAX_TEXT_CHARACTERS]


def is_foreign(body: Body) -> bool:
    """Whether no TTSTenant controls the object."""
    owner = controller_of(body) or {}
    return owner.get("kind") != TENANT.name or not str(owner.get("apiVersion", "")).startswith(f"{GROUP}/")


def belongs_to_tenants(kind: Kind) -> bool:
    """Whether objects of the kind may be a tenant's children or pods."""
    return kind is POD or kind in CHILDREN


def names_managers(kind: Kind) -> bool:
    """Whether a reconcile reads who set which fields of the kind's objects."""
    return kind in CHILDREN


def limit_bytes(kind: Kind, body: Body) -> int:
    """Longest content that is held of this object; 0 for any: models and namespaces are the platform team's."""
    if kind in CHILDREN and is_foreign(body):
        return MAX_FOREIGN_BYTES
    return MAX_HELD_BYTES if kind is TENANT or belongs_to_tenants(kind) else 0


def reduced(kind: Kind, body: Body) -> dict[str, Any]:
    """The part of an object that is held: for a foreign object its metadata.

    A foreign Deployment is held whole: while an orphan of a deleted tenant has a pool's name, its pods are the pool's.
    """
    if kind is POD:
        return _reduced_pod(body)
    if kind is NAMESPACE:
        return {"metadata": _some(body["metadata"], ("name", "uid", "labels", "deletionTimestamp"))}
    if kind in CHILDREN and kind is not DEPLOYMENT and is_foreign(body):
        return {"metadata": _some(body["metadata"], FOREIGN_METADATA), **_of_foreign(kind, body)}
    metadata = {name: value for name, value in body["metadata"].items() if name not in DROPPED_METADATA}
    content = {name: value for name, value in body.items() if name not in ("apiVersion", "kind")}
    content["metadata"] = metadata
    if kind is SCALED_OBJECT and "status" in content:
        content["status"] = _some(content["status"], ("conditions",))
    if kind is HORIZONTAL_POD_AUTOSCALER and "status" in content:
        content["status"] = {name: value for name, value in content["status"].items() if name not in MEASUREMENTS}
    return content


DROPPED_METADATA = frozenset({"resourceVersion", "managedFields", "selfLink"})


def _of_foreign(kind: Kind, body: Body) -> dict[str, Any]:
    """The target of an HPA of somebody else: it may be a pool of the tenant's. Of KEDA's HPAs also what they report."""
    if kind is not HORIZONTAL_POD_AUTOSCALER:
        return {}
    target = {"spec": _some(body.get("spec") or {}, ("scaleTargetRef",))}
    if (controller_of(body) or {}).get("kind") != SCALED_OBJECT.name:
        return target
    return target | {"status": _some(body.get("status") or {}, ("conditions",))}


def _reduced_pod(body: Body) -> dict[str, Any]:
    spec, status = body.get("spec") or {}, body.get("status") or {}
    containers = {
        name: [_some(container, CONTAINER) for container in spec[name]] for name in CONTAINERS if spec.get(name)
    }
    return {
        "metadata": _some(body["metadata"], POD_METADATA),
        "spec": {**_some(spec, POD_SPEC), **containers},
        "status": _some(status, POD_STATUS),
    }


def _some(whole: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: whole[name] for name in names if name in whole}


def encoded(value: object) -> bytes:
    """JSON without spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _split(entries: Any) -> list[bytes]:
    """Each entry of managedFields as two texts: without its field set, and the field set."""
    parts: list[bytes] = []
    for entry in entries:
        parts.append(encoded({name: value for name, value in entry.items() if name not in ("fieldsV1", "fieldsType")}))
        parts.append(encoded(entry.get("fieldsV1") or {}))
    return parts


def _joined(parts: tuple[bytes, ...]) -> list[dict[str, Any]]:
    entries = zip(parts[::2], parts[1::2], strict=True)
    return [{**json.loads(entry), "fieldsV1": field_set(fields)} for entry, fields in entries]


def field_set(text: bytes) -> Mapping[str, Any]:
    """A field set of managedFields. Those of all tenants are alike: each is parsed once, and nobody changes it."""
    return _short_field_set(text) if len(text) <= MAX_PARSED_BYTES else _parsed(text)


@lru_cache(maxsize=MAX_PARSED)
def _short_field_set(text: bytes) -> Mapping[str, Any]:
    return _parsed(text)


def _parsed(text: bytes) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = json.loads(text)
    return fields
