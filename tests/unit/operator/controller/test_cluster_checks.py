"""Regular questions to the API server: what they notice that no watch tells."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from tests.support.virtual_time import VirtualClock
from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import ClusterError, Forbidden, NotFound, Unreachable
from tts_operator.controller.cluster_checks import PROBE_SECONDS, STARTUP_RETRY_SECONDS, ClusterChecks
from tts_operator.controller.namespace_access import NamespaceAccess
from tts_operator.informer.add_ons import AddOns
from tts_operator.objects.kinds import NAMESPACE, SCALED_OBJECT, AddOn, Kind
from tts_operator.objects.manifest import Body, Ref
from tts_operator.telemetry.watch_health import GRACE_SECONDS, WatchHealth


class Storage:
    """An API server that answers with the revision of its storage, or with an error, by namespace."""

    def __init__(self) -> None:
        self.now = 100
        self.errors: dict[str, ClusterError] = {}
        self.asked: list[str] = []

    async def revision(self, kind: Kind, namespace: str = "") -> str:
        self.asked.append(kind.name)
        if (error := self.errors.get(kind.name) or self.errors.get(namespace)) is not None:
            raise error
        return str(self.now)

    async def get(self, ref: Ref, *, metadata_only: bool = False) -> Body:
        return {"metadata": {"name": ref.name, "uid": ref.name, "resourceVersion": str(self.now)}}


class Stage:
    def __init__(self, clock: VirtualClock, *namespaces: str) -> None:
        self.storage, self.access, self.health = Storage(), NamespaceAccess(namespaces), WatchHealth()
        self.read: list[str] = []
        self.told: list[str] = []
        cluster = cast("Cluster", cast("Any", self.storage))
        self.add_ons = AddOns({AddOn.KEDA})
        self.checks = ClusterChecks(
            cluster,
            self.access,
            self.health,
            clock,
            lambda name, _body: self.read.append(name),
            self.add_ons,
            lambda: self.told.append("add-ons changed"),
        )

    def probing(self) -> asyncio.Task[None]:
        probe = self.checks.probe(lambda: self.told.append("checked"), lambda: self.told.append("restored"))
        return asyncio.create_task(probe)


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


async def test_a_storage_that_goes_back_is_told_once_and_at_the_next_probe(clock: VirtualClock) -> None:
    """Watches go on from versions of the future: they deliver nothing, and open without an error."""
    stage = Stage(clock)
    stage.health.exists("pods", "100", now=clock.monotonic())
    probing = stage.probing()
    for stage.storage.now in (100, 120, 120, 90, 95):
        await asyncio.sleep(PROBE_SECONDS)
    assert stage.told.count("restored") == 1
    assert stage.told.index("restored") <= 4
    await asyncio.sleep(GRACE_SECONDS)
    assert stage.health.stale(clock.monotonic()) == [], "versions of before count no more"
    await ended(probing)


async def test_an_outage_is_no_restored_storage(clock: VirtualClock) -> None:
    stage = Stage(clock)
    probing = stage.probing()
    await asyncio.sleep(PROBE_SECONDS)
    stage.storage.errors = {"": Unreachable("no route")}
    await asyncio.sleep(10 * PROBE_SECONDS)
    stage.storage.errors = {}
    await asyncio.sleep(2 * PROBE_SECONDS)
    assert set(stage.told) == {"checked", "add-ons changed"}
    await ended(probing)


async def test_a_namespace_is_skipped_while_it_is_forbidden_and_the_others_are_read(clock: VirtualClock) -> None:
    stage = Stage(clock, "na", "nb")
    stage.storage.errors = {"nb": Forbidden("Forbidden", "no")}
    probing = stage.probing()
    await asyncio.sleep(1)
    assert list(stage.access.readable) == ["na"]
    assert stage.read == ["na"], "an operator that is confined may not watch namespaces"
    stage.storage.errors = {}
    await asyncio.sleep(PROBE_SECONDS)
    assert list(stage.access.readable) == ["na", "nb"]
    assert stage.read == ["na", "na", "nb"]
    await ended(probing)


async def test_it_waits_for_the_crds_and_not_for_namespaces(clock: VirtualClock) -> None:
    stage = Stage(clock, "na", "nb")
    stage.storage.errors = {"TTSTenant": NotFound("NotFound", "no such resource")}
    waiting = asyncio.create_task(stage.checks.wait_for_resources())
    await asyncio.sleep(5 * STARTUP_RETRY_SECONDS)
    assert not waiting.done()
    stage.storage.errors = {"nb": Forbidden("Forbidden", "no")}
    await asyncio.sleep(STARTUP_RETRY_SECONDS)
    assert waiting.done()
    assert list(stage.access.readable) == ["na"]
    assert NAMESPACE.name not in stage.storage.asked, "a confined operator does not ask for what it never may"


async def test_kinds_of_an_add_on_come_and_go_with_its_crds(clock: VirtualClock) -> None:
    """Somebody removes KEDA: reconciles must go on without its kind, and with it once it is back."""
    stage = Stage(clock)
    missing = {SCALED_OBJECT.name: NotFound("NotFound", "no such resource")}
    stage.storage.errors = dict(missing)
    probing = stage.probing()
    await asyncio.sleep(1)
    assert (stage.add_ons.installed, "add-ons changed" in stage.told) == (frozenset(), False)
    stage.storage.errors = {}
    await asyncio.sleep(PROBE_SECONDS)
    assert stage.add_ons.installed == {AddOn.KEDA}
    assert stage.told[-2:] == ["checked", "add-ons changed"], "watches follow before tenants are reconciled again"
    stage.storage.errors = {SCALED_OBJECT.name: Unreachable("no route")}
    await asyncio.sleep(PROBE_SECONDS)
    assert stage.add_ons.installed == {AddOn.KEDA}, "an outage says nothing"
    stage.storage.errors = dict(missing)
    await asyncio.sleep(PROBE_SECONDS)
    assert stage.add_ons.installed == frozenset()
    assert stage.told.count("add-ons changed") == 2
    await ended(probing)


async def test_nobody_asks_for_the_kinds_of_an_add_on_that_is_not_enabled(clock: VirtualClock) -> None:
    stage = Stage(clock)
    stage.add_ons.enabled = frozenset()
    assert not await stage.checks.find_add_ons()
    assert stage.storage.asked == []
