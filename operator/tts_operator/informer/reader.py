"""Reads for a reconcile all but Secrets: from the API server, or from copies that watches keep current.

One contract suite runs over both (`tests/integration/operator/test_readers.py`). Secrets are read from the API server
in any case, by `observe.secret_reader`: nothing holds copies of them.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple, Protocol

from tts_operator.cluster.client import Cluster, collect
from tts_operator.informer.add_ons import AddOns
from tts_operator.informer.held_object import HeldObject
from tts_operator.informer.indexer import Indexer, Stamp, stamp_of
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import (
    CHILDREN,
    HORIZONTAL_POD_AUTOSCALER,
    MODEL,
    NAMESPACE,
    POD,
    TENANT,
    AddOn,
    Kind,
    kind_of,
)
from tts_operator.objects.labels import MANAGED, NOT_MANAGED, RELEASE, joined, selector
from tts_operator.objects.manifest import Body, Ref
from tts_operator.objects.ownership import controlled_by

OF_A_TENANT = (POD, *(kind for kind in CHILDREN if kind.listed))
"""Kinds with the label of a tenant."""
CATCH_UP_SECONDS = 2.0
"""Longest time for which a tenant waits for a watch to deliver what was written, seconds."""
CATCH_UP_POLL_SECONDS = 0.05
OBJECTS_AT_ONCE = 50
"""Objects after which other work gets a turn: to parse ten thousand takes a second."""


class TenantStamp(NamedTuple):
    """Digest of everything that a reconcile of a tenant reads: equal stamps mean that nothing changed."""

    tenant: Stamp
    namespace: Stamp
    children: Stamp
    models: Stamp
    foreign_autoscalers: Stamp
    add_ons: frozenset[AddOn]


class ScheduleStamp(NamedTuple):
    """Digest of what the bounds of a tenant follow from, besides the time. Statuses are no part of it."""

    uid: str
    generation: int
    terminating: bool
    release: str
    namespace: Stamp
    models: Stamp


class Reader(Protocol):
    """Reads objects. Every method raises ClusterError. Of a kind that the cluster lacks there are no objects."""

    add_ons: AddOns
    """Add-ons whose kinds it reads."""

    async def get(self, ref: Ref) -> Body | None:
        """A tenant, a model, a namespace, or a child; None if it does not exist."""

    def all(self, kind: Kind, namespace: str = "") -> AsyncIterator[Body]:
        """Every tenant, every model, or every object of the operator's of another kind; in one namespace or in all."""

    async def of_tenant(self, kind: Kind, key: Key, *, metadata_only: bool = False) -> list[Body]:
        """Objects with the tenant's label."""

    async def foreign_autoscalers(self, namespace: str) -> list[Body]:
        """HPAs of a namespace that are not the operator's."""

    async def for_reconcile(self, key: Key, *, live: bool) -> "Reader":
        """The reader of one reconcile, which knows everything that the operator has written for the tenant.

        `live`: one that sends a request for each reading.
        """

    def stamp(self, key: Key) -> TenantStamp | None:
        """Stamp of everything that a reconcile of the tenant reads; None if this reader cannot tell what changed."""

    def schedule_stamp(self, key: Key) -> ScheduleStamp | None:
        """Stamp of what the tenant's bounds follow from; None if this reader cannot tell."""


class LiveReader:
    """Reader that sends a request for each reading."""

    def __init__(self, cluster: Cluster, add_ons: AddOns | None = None) -> None:
        """`add_ons`: None to read none of their kinds."""
        self._cluster = cluster
        self.add_ons = add_ons or AddOns()

    async def get(self, ref: Ref) -> Body | None:
        return await self._cluster.get(ref)

    def all(self, kind: Kind, namespace: str = "") -> AsyncIterator[Body]:
        labels = joined(MANAGED, kind.labels) if kind.child else ""
        return self._cluster.list(kind, namespace, labels)

    async def of_tenant(self, kind: Kind, key: Key, *, metadata_only: bool = False) -> list[Body]:
        if not self.add_ons.has(kind):
            return []
        labels = selector(key.name, kind.labels)
        return await collect(self._cluster.list(kind, key.namespace, labels, metadata_only=metadata_only))

    async def foreign_autoscalers(self, namespace: str) -> list[Body]:
        return await collect(self._cluster.list(HORIZONTAL_POD_AUTOSCALER, namespace, NOT_MANAGED))

    async def for_reconcile(self, key: Key, *, live: bool) -> Reader:  # noqa: ARG002 - the protocol's
        return self

    def stamp(self, key: Key) -> TenantStamp | None:  # noqa: ARG002 - the protocol's
        return None

    def schedule_stamp(self, key: Key) -> ScheduleStamp | None:  # noqa: ARG002 - the protocol's
        return None


class CachedReader:
    """Reader of an indexer. Whatever no working watch keeps current, or is held in part, is read by another reader."""

    def __init__(self, indexer: Indexer, is_current: Callable[[Kind, str, str], bool], live: Reader) -> None:
        """`is_current` returns whether the copies of a kind are current, in a namespace (empty: all), or of a name."""
        self._indexer = indexer
        self._is_current = is_current
        self.add_ons = live.add_ons
        self.live = live
        """Reader of what is not held."""

    async def get(self, ref: Ref) -> Body | None:
        kind = kind_of(ref.api_version, ref.kind)
        if not self._is_current(kind, ref.namespace, ref.name):
            return await self.live.get(ref)
        held = self._indexer.get(kind, ref.namespace, ref.name)
        if held is not None and held.partial:
            return await self.live.get(ref)
        return held.body() if held else None

    async def all(self, kind: Kind, namespace: str = "") -> AsyncIterator[Body]:
        if not self._is_current(kind, namespace, ""):
            async for body in self.live.all(kind, namespace):
                yield body
            return
        number = 0
        for held in self._indexer.all(kind, namespace):
            if kind.child and not held.managed:
                continue
            if (whole := await self._whole(held)) is not None:
                yield whole
                number += 1
                if number % OBJECTS_AT_ONCE == 0:
                    await asyncio.sleep(0)

    async def of_tenant(self, kind: Kind, key: Key, *, metadata_only: bool = False) -> list[Body]:
        if not self.add_ons.has(kind):
            return []
        if not self._is_current(kind, key.namespace, ""):
            return await self.live.of_tenant(kind, key, metadata_only=metadata_only)
        found = self._indexer.of_tenant(kind, key)
        if metadata_only:
            return [held.body() for held in found]
        if kind is POD and any(held.partial for held in found):
            return await self.live.of_tenant(kind, key)  # there is no permission to get one pod
        bodies = [await self._whole(held) for held in found]
        return [body for body in bodies if body is not None]

    async def foreign_autoscalers(self, namespace: str) -> list[Body]:
        if not self._is_current(HORIZONTAL_POD_AUTOSCALER, namespace, ""):
            return await self.live.foreign_autoscalers(namespace)
        return [held.body() for held in self._indexer.foreign_autoscalers(namespace)]

    async def _whole(self, held: HeldObject) -> Body | None:
        """The object with all that a reconcile may read of it; None if it is gone by now."""
        if not held.partial or self._is_others(held):
            return held.body()
        return await self.live.get(Ref.of(held.kind, held.namespace, held.name))

    def _is_others(self, held: HeldObject) -> bool:
        """Whether a child says that another TTSTenant controls it than that of its label, which anybody may write."""
        if not held.kind.child or not self._is_current(TENANT, held.namespace, ""):
            return False
        tenant = self._indexer.get(TENANT, held.namespace, held.tenant)
        return tenant is None or not controlled_by(held.body(), tenant.uid)

    async def for_reconcile(self, key: Key, *, live: bool) -> Reader:
        # The watches catch up with what was written within milliseconds.
        for _ in range(0 if live else round(CATCH_UP_SECONDS / CATCH_UP_POLL_SECONDS)):
            if not self._indexer.is_behind(key):
                return self
            await asyncio.sleep(CATCH_UP_POLL_SECONDS)
        return self.live

    def stamp(self, key: Key) -> TenantStamp | None:
        read = (
            (TENANT, key.namespace, ""),
            (NAMESPACE, "", key.namespace),
            (MODEL, "", ""),
            *((kind, key.namespace, "") for kind in OF_A_TENANT if self.add_ons.has(kind)),
        )
        if not all(self._is_current(*each) for each in read):
            return None
        indexer = self._indexer
        return TenantStamp(
            stamp_of(_present(indexer.get(TENANT, key.namespace, key.name))),
            stamp_of(_present(indexer.get(NAMESPACE, "", key.namespace))),
            indexer.stamp(key),
            indexer.stamp_of_models(),
            indexer.stamp_of_foreign_autoscalers(key.namespace),
            self.add_ons.installed,
        )

    def schedule_stamp(self, key: Key) -> ScheduleStamp | None:
        read = ((TENANT, key.namespace, ""), (NAMESPACE, "", key.namespace), (MODEL, "", ""))
        if not all(self._is_current(*each) for each in read):
            return None
        held = self._indexer.get(TENANT, key.namespace, key.name)
        body = held.body() if held else {"metadata": {}}
        metadata = body["metadata"]
        return ScheduleStamp(
            str(metadata.get("uid", "")),
            int(metadata.get("generation", 0)),
            "deletionTimestamp" in metadata,
            str((metadata.get("annotations") or {}).get(RELEASE, "")),
            stamp_of(_present(self._indexer.get(NAMESPACE, "", key.namespace))),
            self._indexer.stamp_of_models(),
        )


def _present(held: HeldObject | None) -> tuple[HeldObject, ...]:
    return () if held is None else (held,)
