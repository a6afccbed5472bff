"""The Lease as the API server keeps it."""

import math
from datetime import UTC, datetime
from typing import Any

from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import Conflict
from tts_operator.cluster.leader_election import LeaseConflict, Record
from tts_operator.objects.manifest import Body, Manifest, Ref


class ClusterLease:
    """A `coordination.k8s.io/v1` Lease, as a LeaseStore. Its own Cluster: leadership is not asked about itself."""

    def __init__(self, cluster: Cluster, namespace: str, name: str) -> None:
        self._cluster = cluster
        self._ref = Ref("coordination.k8s.io/v1", "Lease", namespace, name)

    async def read(self) -> Record | None:
        live = await self._cluster.get(self._ref)
        return None if live is None else record_of(live)

    async def write(self, record: Record) -> Record:
        manifest = Manifest(self._ref, body_of(self._ref, record))
        try:
            written = await (self._cluster.replace(manifest) if record.version else self._cluster.create(manifest))
        except Conflict as error:
            raise LeaseConflict(error.message) from error
        return record_of(written)


def record_of(live: Body) -> Record:
    """What a Lease says; one made by hand may leave out anything."""
    spec = live.get("spec") or {}
    return Record(
        holder=spec.get("holderIdentity") or "",
        lease_seconds=float(spec.get("leaseDurationSeconds") or 0),
        acquired=_instant(spec.get("acquireTime")),
        renewed=_instant(spec.get("renewTime")),
        transitions=int(spec.get("leaseTransitions") or 0),
        version=live["metadata"]["resourceVersion"],
    )


def body_of(ref: Ref, record: Record) -> dict[str, Any]:
    """The Lease that says this. Its duration is whole seconds: a fraction becomes the next."""
    metadata = {"name": ref.name, "namespace": ref.namespace}
    if record.version:
        metadata["resourceVersion"] = record.version
    return {
        "apiVersion": ref.api_version,
        "kind": ref.kind,
        "metadata": metadata,
        "spec": {
            "holderIdentity": record.holder,
            "leaseDurationSeconds": math.ceil(record.lease_seconds),
            "acquireTime": _micro_time(record.acquired),
            "renewTime": _micro_time(record.renewed),
            "leaseTransitions": record.transitions,
        },
    }


def _micro_time(instant: datetime) -> str:
    """As the API server writes a MicroTime."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _instant(text: str | None) -> datetime:
    return datetime.fromisoformat(text) if text else datetime.min.replace(tzinfo=UTC)
