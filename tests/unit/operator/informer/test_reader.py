"""Copies are read while they are current and know the operator's own writes; else the API server is asked."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from tts_operator.cluster.client import Cluster
from tts_operator.informer.indexer import Indexer
from tts_operator.informer.reader import CATCH_UP_SECONDS, CachedReader, LiveReader, ScheduleStamp, TenantStamp
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import CONFIG_MAP, DEPLOYMENT, MODEL, POD, SCALED_OBJECT, TENANT, AddOn, Kind
from tts_operator.objects.manifest import Body, Ref

ACME = Key("team", "acme")


class Stage:
    """Copies of which a test says what is current."""

    def __init__(self) -> None:
        self.indexer = Indexer()
        self.outdated: set[Kind] = set()
        self.live = LiveReader(cast("Cluster", cast("Any", None)))
        self.reader = CachedReader(self.indexer, lambda kind, *_: kind not in self.outdated, self.live)


def deployment(version: int) -> Body:
    labels = {"ttsfleet.io/tenant": "acme"}
    metadata = {"name": "acme-espeak", "namespace": "team", "uid": "1", "labels": labels}
    return {"metadata": {**metadata, "resourceVersion": str(version)}, "spec": {"replicas": version}}


def tenant(version: int, generation: int = 1, **parts: Any) -> Body:
    metadata = {"name": "acme", "namespace": "team", "uid": "2", "resourceVersion": str(version)}
    return {"metadata": {**metadata, "generation": generation}, **parts}


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_copies_are_read_at_once() -> None:
    stage = Stage()
    assert await stage.reader.for_reconcile(ACME, live=False) is stage.reader
    assert await stage.reader.for_reconcile(ACME, live=True) is stage.live
    assert now() == 0


async def test_after_a_write_that_returned_no_object_its_event_is_waited_for() -> None:
    stage = Stage()
    stage.indexer.put(DEPLOYMENT, deployment(1))
    stage.indexer.expect(DEPLOYMENT, "team", "acme-espeak", "5")
    asyncio.get_running_loop().call_later(0.5, stage.indexer.put, DEPLOYMENT, deployment(5))
    assert await stage.reader.for_reconcile(ACME, live=False) is stage.reader
    assert now() == pytest.approx(0.5, abs=0.1)


async def test_an_event_that_does_not_come_is_not_waited_for_longer_than_seconds() -> None:
    stage = Stage()
    stage.indexer.put(DEPLOYMENT, deployment(1))
    stage.indexer.expect(DEPLOYMENT, "team", "acme-espeak", "5")
    assert await stage.reader.for_reconcile(ACME, live=False) is stage.live
    assert now() == pytest.approx(CATCH_UP_SECONDS)
    assert await stage.reader.for_reconcile(Key("team", "beta"), live=False) is stage.reader


@pytest.mark.parametrize("kind", [TENANT, MODEL, DEPLOYMENT], ids=lambda kind: kind.name)
def test_nothing_is_said_of_a_tenant_some_of_whose_copies_are_not_current(kind: Kind) -> None:
    stage = Stage()
    assert isinstance(stage.reader.stamp(ACME), TenantStamp)
    stage.outdated.add(kind)
    assert stage.reader.stamp(ACME) is None


def test_bounds_follow_from_the_spec_and_from_no_status() -> None:
    stage = Stage()
    stage.indexer.put(TENANT, tenant(1))
    first = stage.reader.schedule_stamp(ACME)
    assert isinstance(first, ScheduleStamp)
    stage.indexer.put(TENANT, tenant(2, status={"replicas": "1/1"}))
    stage.indexer.put(DEPLOYMENT, deployment(3))
    assert stage.reader.schedule_stamp(ACME) == first
    stage.indexer.put(TENANT, tenant(4, generation=2))
    assert stage.reader.schedule_stamp(ACME) != first


LONG = "a" * 250_000


class ApiServer:
    """Has what it is told, and notes what is read."""

    def __init__(self, *bodies: Body) -> None:
        self.bodies = {body["metadata"]["name"]: body for body in bodies}
        self.read: list[str] = []

    async def get(self, ref: Ref) -> Body | None:
        self.read.append(ref.name)
        return self.bodies.get(ref.name)

    async def of_tenant(self, kind: Kind, key: Key, *, metadata_only: bool = False) -> list[Body]:
        self.read.append(f"{kind.plural} of {key.name}")
        return list(self.bodies.values())


def with_live(*bodies: Body) -> tuple[Stage, ApiServer]:
    stage, live = Stage(), ApiServer(*bodies)
    stage.reader.live = cast("Any", live)
    stage.indexer.put(TENANT, tenant(1))
    return stage, live


def config_map(name: str, owner: str, data: str) -> Body:
    controller = {"apiVersion": "ttsfleet.io/v1alpha1", "kind": "TTSTenant", "name": "acme", "uid": owner}
    metadata = {"name": name, "namespace": "team", "uid": name, "resourceVersion": "3"}
    labels = {"ttsfleet.io/tenant": "acme", "app.kubernetes.io/managed-by": "tts-operator"}
    references = [{**controller, "controller": True}]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {**metadata, "labels": labels, "ownerReferences": references},
        "data": {"a": data},
    }


async def test_a_child_too_large_to_be_held_is_read_when_it_is_needed() -> None:
    large, small = config_map("large", "2", LONG), config_map("small", "2", "b")
    stage, live = with_live(large)
    for body in (large, small):
        stage.indexer.put(CONFIG_MAP, body)
    assert [body["data"] for body in await stage.reader.of_tenant(CONFIG_MAP, ACME)] == [large["data"], small["data"]]
    assert await stage.reader.get(Ref.of(CONFIG_MAP, "team", "large")) == large
    assert [body["data"] async for body in stage.reader.all(CONFIG_MAP)] == [large["data"], small["data"]]
    assert live.read == ["large"] * 3
    assert len(await stage.reader.of_tenant(CONFIG_MAP, ACME, metadata_only=True)) == 2
    assert live.read == ["large"] * 3


async def test_a_large_object_that_is_gone_by_now_is_not_there() -> None:
    stage, _ = with_live()
    stage.indexer.put(CONFIG_MAP, config_map("large", "2", LONG))
    assert await stage.reader.of_tenant(CONFIG_MAP, ACME) == []


async def test_a_large_object_with_a_forged_controller_costs_no_request() -> None:
    """It is nobody's child: a reconcile reads its name and its owner."""
    stage, live = with_live()
    stage.indexer.put(CONFIG_MAP, config_map("forged", "another", LONG))
    found = await stage.reader.of_tenant(CONFIG_MAP, ACME)
    assert [body["metadata"]["ownerReferences"][0]["uid"] for body in found] == ["another"]
    assert live.read == []
    stage.outdated.add(TENANT)  # a new tenant of this name may not be known yet
    await stage.reader.of_tenant(CONFIG_MAP, ACME)
    assert live.read == ["forged"]


async def test_pods_too_large_to_be_held_are_listed() -> None:
    """There is no permission to get one."""
    pod = {"metadata": {**config_map("pod", "2", "")["metadata"], "annotations": {"a": LONG}}, "spec": {}}
    stage, live = with_live(pod)
    stage.indexer.put(POD, pod)
    assert await stage.reader.of_tenant(POD, ACME) == [pod]
    assert live.read == ["pods of acme"]


async def test_a_large_tenant_is_read_when_it_is_needed() -> None:
    large = tenant(5)
    large["metadata"]["annotations"] = {"a": LONG, "ttsfleet.io/release": "tts/one"}
    stage, live = with_live(large)
    stage.indexer.put(TENANT, large)
    assert await stage.reader.get(Ref.of(TENANT, "team", "acme")) == large
    assert live.read == ["acme"]
    stamp = stage.reader.schedule_stamp(ACME)
    assert stamp is not None
    assert (stamp.uid, stamp.generation, stamp.release) == ("2", 1, "tts/one")
    before = stage.reader.stamp(ACME)
    changed = {"metadata": {**large["metadata"], "resourceVersion": "6", "annotations": {"a": f"{LONG}b"}}}
    stage.indexer.put(TENANT, changed)
    assert stage.reader.stamp(ACME) != before


async def test_a_kind_that_the_cluster_lacks_has_no_objects_and_needs_no_watch() -> None:
    """A tenant's reconcile must not depend on the CRDs of another project."""
    stage = Stage()
    stage.outdated.add(SCALED_OBJECT)
    assert await stage.reader.of_tenant(SCALED_OBJECT, ACME) == []
    before = stage.reader.stamp(ACME)
    assert before is not None
    stage.outdated.discard(SCALED_OBJECT)
    stage.reader.add_ons.enabled = frozenset({AddOn.KEDA})
    stage.reader.add_ons.found(SCALED_OBJECT, exists=True)
    assert stage.reader.stamp(ACME) not in (None, before), "a tenant that asks for it is reconciled again"
