"""Tenants by port of the waker, and the addresses of their ready pods. Pure state, which the watches feed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from tts_operator.objects import fields
from tts_operator.objects.keys import Key
from tts_operator.objects.labels import SERVICE_NAME
from tts_operator.objects.manifest import Body


@dataclass(frozen=True)
class Tenant:
    """One tenant, as its status tells the waker."""

    key: Key
    uid: str
    port: int
    """Port of the waker that belongs to this tenant alone."""
    at_zero: bool
    """Whether its schedule has no replicas now."""
    wakes_at: datetime | None
    """End of zero by the schedule; None if it never ends."""
    time_zone: str
    wake_on_request: bool
    max_wait_seconds: int


class Pod(NamedTuple):
    """A ready pod."""

    address: str
    port: int

    @property
    def authority(self) -> str:
        """Address and port, as in a URL."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def tenant_of(body: Body, release: str = "") -> Tenant | None:
    """The tenant of a stored TTSTenant; None where it has no port, is being deleted, or is another release's."""
    metadata, status = body["metadata"], body.get("status") or {}
    told: Mapping[str, Any] = status.get("waker") or {}
    port = told.get("port")
    if release and status.get("release") != release:
        return None  # the waker of each release has ports of its own
    if not isinstance(port, int) or "deletionTimestamp" in metadata:
        return None
    return Tenant(
        key=Key(str(metadata["namespace"]), str(metadata["name"])),
        uid=str(metadata["uid"]),
        port=port,
        at_zero=bool(told.get("atZero")),
        wakes_at=fields.instant(told.get("wakesAt")),
        time_zone=str(told.get("timeZone", "UTC")),
        wake_on_request=bool(told.get("wakeOnRequest")),
        max_wait_seconds=int(told.get("maxWaitSeconds", 60)),
    )


def pods_of(body: Body) -> tuple[Pod, ...]:
    """Ready pods of an EndpointSlice."""
    port = next((each.get("port") for each in body.get("ports") or () if each.get("name") == "http"), None)
    if not isinstance(port, int):
        return ()
    return tuple(
        Pod(str(endpoint["addresses"][0]), port)
        for endpoint in body.get("endpoints") or ()
        if endpoint.get("addresses") and (endpoint.get("conditions") or {}).get("ready", True)
    )


def reduced(body: Body) -> dict[str, Any]:
    """The fields of a TTSTenant or an EndpointSlice that this module reads: specs and annotations may be large."""
    metadata, status = body["metadata"], body.get("status") or {}
    kept = {name: metadata[name] for name in ("namespace", "name", "uid", "deletionTimestamp") if name in metadata}
    labels = metadata.get("labels") or {}
    if SERVICE_NAME in labels:
        kept["labels"] = {SERVICE_NAME: labels[SERVICE_NAME]}
    return {
        "metadata": kept,
        "status": {name: status[name] for name in ("release", "waker") if name in status},
        **{name: body[name] for name in ("endpoints", "ports") if name in body},
    }


class Tenants:
    """Every tenant with a port, and every ready pod behind a tenant's Service."""

    def __init__(self, release: str = "") -> None:
        """`release`: that of the operator whose tenants count; empty for all."""
        self._release = release
        self._tenants: dict[Key, Tenant] = {}
        self._holders: dict[int, set[Key]] = {}
        self._slices: dict[Key, dict[str, tuple[Pod, ...]]] = {}  # by Service, then by slice
        self._services: dict[Key, Key] = {}  # Service of each slice

    def __len__(self) -> int:
        return len(self._tenants)

    def at(self, port: int) -> Tenant | None:
        """The tenant of a port. None where two claim it: a request must never reach the pods of another tenant."""
        holders = self._holders.get(port, set())
        return self._tenants[next(iter(holders))] if len(holders) == 1 else None

    def pods(self, key: Key) -> tuple[Pod, ...]:
        """Ready pods behind the Service of a tenant, sorted."""
        return tuple(sorted({pod for pods in self._slices.get(key, {}).values() for pod in pods}))

    def tenant_changed(self, body: Body) -> Key:
        """Record a stored TTSTenant. Returns its key."""
        key = self.tenant_gone(body)
        if (tenant := tenant_of(body, self._release)) is not None:
            self._tenants[key] = tenant
            self._holders.setdefault(tenant.port, set()).add(key)
        return key

    def tenant_gone(self, body: Body) -> Key:
        """Record that a TTSTenant does not exist. Returns its key."""
        key = Key(str(body["metadata"]["namespace"]), str(body["metadata"]["name"]))
        if (before := self._tenants.pop(key, None)) is not None:
            holders = self._holders[before.port]
            holders.discard(key)
            if not holders:
                del self._holders[before.port]
        return key

    def slice_changed(self, body: Body) -> Key:
        """Record an EndpointSlice of the EndpointSlice controller. Returns the key of its Service."""
        self.slice_gone(body)
        metadata = body["metadata"]
        service = Key(str(metadata["namespace"]), str((metadata.get("labels") or {}).get(SERVICE_NAME, "")))
        slice_key = Key(str(metadata["namespace"]), str(metadata["name"]))
        self._services[slice_key] = service
        self._slices.setdefault(service, {})[slice_key.name] = pods_of(body)
        return service

    def slice_gone(self, body: Body) -> Key:
        """Record that an EndpointSlice does not exist. Returns the key of its Service."""
        metadata = body["metadata"]
        slice_key = Key(str(metadata["namespace"]), str(metadata["name"]))
        service = self._services.pop(slice_key, slice_key)
        named = self._slices.get(service, {})
        named.pop(slice_key.name, None)
        if not named:
            self._slices.pop(service, None)
        return service

    def tenants_listed(self, namespace: str, bodies: Iterable[Body]) -> None:
        """Replace the tenants of a namespace; empty: of all."""
        bodies = list(bodies)
        listed = {Key(str(body["metadata"]["namespace"]), str(body["metadata"]["name"])) for body in bodies}
        for key in [each for each in self._tenants if each not in listed and namespace in ("", each.namespace)]:
            self.tenant_gone({"metadata": {"namespace": key.namespace, "name": key.name}})
        for body in bodies:
            self.tenant_changed(body)

    def slices_listed(self, namespace: str, bodies: Iterable[Body]) -> None:
        """Replace the EndpointSlices of a namespace; empty: of all."""
        bodies = list(bodies)
        listed = {Key(str(body["metadata"]["namespace"]), str(body["metadata"]["name"])) for body in bodies}
        for key in [each for each in self._services if each not in listed and namespace in ("", each.namespace)]:
            self.slice_gone({"metadata": {"namespace": key.namespace, "name": key.name}})
        for body in bodies:
            self.slice_changed(body)
