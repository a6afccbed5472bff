"""Stores the leader's record in a `coordination.k8s.io/v1` Lease."""

import math
from datetime import UTC, datetime
from typing import Any

from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import Conflict
from tts_operator.cluster.leader_election import LeaseConflict, Record
from tts_operator.objects.kinds import LEASE
from tts_operator.objects.manifest import Body, Manifest, Ref


class ClusterLease:
    """LeaseStore on the API server. `cluster` must not check leadership: candidates write before they lead."""

    def __init__(self, cluster: Cluster, namespace: str, name: str) -> None:
        self._cluster = cluster
        self._ref = Ref.of(LEASE, namespace, name)

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
    """Record of a Lease, any field of which may be missing."""
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
    """Lease with this record. leaseDurationSeconds is an integer: fractions are rounded up."""
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
    """Kubernetes MicroTime: RFC 3339 in UTC, to the microsecond."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _instant(text: str | None) -> datetime:
    return datetime.fromisoformat(text) if text else datetime.min.replace(tzinfo=UTC)
