"""Copies are read while they are current and know the operator's own writes; else the API server is asked."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from tts_operator.cluster.client import Cluster
from tts_operator.informer.indexer import Indexer
from tts_operator.informer.reader import CATCH_UP_SECONDS, CachedReader, LiveReader, ScheduleStamp, TenantStamp
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import DEPLOYMENT, MODEL, TENANT, Kind
from tts_operator.objects.manifest import Body

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
