"""Copies are current while their watches work, and each change is told to whom it concerns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tests.support.virtual_time import VirtualClock
from tts_operator.cluster.errors import Forbidden
from tts_operator.cluster.watch_request import Collection, Page, WatchEvent
from tts_operator.controller.object_watches import ObjectWatches
from tts_operator.controller.watches import BY_KOPF, WATCHED, ListedPage, WatchScope, scopes_of
from tts_operator.informer.reflector import WATCH_SECONDS
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import CALENDAR, CONFIG_MAP, DEPLOYMENT, MODEL, NAMESPACE, TENANT, Kind
from tts_operator.telemetry.watch_activity import SILENCE_SECONDS

ACME = Key("team", "acme")
EVERYWHERE = WatchScope("", (TENANT, MODEL, CALENDAR, *WATCHED))
RELIST_SECONDS = 600.0


class Sink:
    """Notes what it is told, one line each."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def tenant_changed(self, key: Key, models: Iterable[str]) -> None:
        self.told.append(f"tenant {key} {list(models)}")

    def model_changed(self, name: str, fallback: str | None) -> None:
        self.told.append(f"model {name}")

    def child_changed(self, key: Key) -> None:
        self.told.append(f"child of {key}")

    def deployment_changed(self, deployment: Mapping[str, Any], *, gone: bool) -> None:
        self.told.append(f"deployment {deployment['metadata']['name']}{' gone' if gone else ''}")

    def schedule_changed(self, key: Key) -> None:
        self.told.append(f"schedule of {key}")

    def namespace_changed(self, name: str) -> None:
        self.told.append(f"namespace {name}")

    def status_changed(self, key: Key) -> None: ...

    def delivered(self, kind: str, version: str) -> None: ...

    def seen(self, kind: Kind, body: Mapping[str, Any], *, gone: bool) -> None: ...

    def listed(self, page: ListedPage) -> None: ...


class ApiServer:
    """Has objects by kind, and may refuse watches."""

    def __init__(self) -> None:
        self.objects: dict[Kind, list[dict[str, Any]]] = {}
        self.changed: dict[Kind, list[dict[str, Any]]] = {}
        """Changes that the next watch of a kind tells, once."""
        self.refuses = False
        self.lists = 0

    async def page(self, collection: Collection, token: str = "", limit: int = 0) -> Page:
        self.lists += 1
        return Page(self.objects.get(collection.kind, []), "100", "")

    async def watch(self, collection: Collection, version: str, seconds: int) -> AsyncGenerator[WatchEvent]:
        if self.refuses:
            raise Forbidden("Forbidden", "no")
        yield WatchEvent("OPENED", {})
        for changed in self.changed.pop(collection.kind, ()):
            yield WatchEvent("MODIFIED", changed)
        await asyncio.sleep(seconds)
        yield WatchEvent("BOOKMARK", {"metadata": {"resourceVersion": version}})


def body(name: str, version: int = 1, *, namespace: str = "team", tenant: str = "", **parts: Any) -> dict[str, Any]:
    labels = {"ttsfleet.io/tenant": tenant} if tenant else {}
    metadata = {"name": name, "uid": name, "resourceVersion": str(version), "labels": labels}
    return {"metadata": metadata | ({"namespace": namespace} if namespace else {}), **parts}


class Stage:
    def __init__(self, clock: VirtualClock) -> None:
        self.server, self.sink = ApiServer(), Sink()
        self.kopf_works = True
        self.repairs = 0
        self.objects = ObjectWatches(self.server, clock.monotonic, self.count)
        self.objects.connect(self.sink, lambda _path: self.kopf_works)

    def count(self) -> None:
        self.repairs += 1

    def list(self, *bodies: dict[str, Any], kind: Kind = TENANT, first: bool = True, last: bool = True) -> None:
        self.objects.listed(ListedPage(kind, "", bodies, "100", first=first, last=last))


@asynccontextmanager
async def staged(clock: VirtualClock, *scopes: WatchScope) -> AsyncIterator[Stage]:
    stage = Stage(clock)
    stage.objects.watch(scopes)
    running = asyncio.create_task(stage.objects.run(RELIST_SECONDS))
    await asyncio.sleep(1)
    yield stage
    running.cancel()
    await asyncio.wait({running})


async def test_a_kind_is_current_while_its_watch_works(clock: VirtualClock) -> None:
    async with staged(clock, EVERYWHERE) as stage:
        assert stage.objects.is_current(CONFIG_MAP, "team", "")
        assert stage.objects.problems() == []
        stage.server.refuses = True
        await asyncio.sleep(20)
        assert not stage.objects.is_current(CONFIG_MAP, "team", "")
        assert "no working watch of /api/v1/configmaps" in stage.objects.problems()
        stage.server.refuses = False
        await asyncio.sleep(10)
        assert stage.objects.is_current(CONFIG_MAP, "team", "")
        assert stage.objects.problems() == []


async def test_one_namespace_says_nothing_of_another(clock: VirtualClock) -> None:
    async with staged(clock, WatchScope("team", WATCHED)) as stage:
        assert stage.objects.is_current(CONFIG_MAP, "team", "")
        assert not stage.objects.is_current(CONFIG_MAP, "other", "")
        assert not stage.objects.is_current(CONFIG_MAP, "", "")


async def test_tenants_are_current_after_a_complete_list_and_while_kopf_watches(clock: VirtualClock) -> None:
    async with staged(clock, EVERYWHERE) as stage:
        assert not stage.objects.is_current(TENANT, "team", "acme")
        stage.list(body("acme"), last=False)
        assert not stage.objects.is_current(TENANT, "team", "acme")
        stage.list(body("beta"), first=False)
        assert stage.objects.is_current(TENANT, "team", "acme")
        assert {held.name for held in stage.objects.indexer.all(TENANT)} == {"acme", "beta"}
        stage.kopf_works = False
        assert not stage.objects.is_current(TENANT, "team", "acme")


async def test_a_tenant_or_a_model_whose_deletion_kopf_missed_is_told(clock: VirtualClock) -> None:
    """A list of kopf's begins with what exists, and kopf itself does not tell what is missing."""
    async with staged(clock, EVERYWHERE) as stage:
        stage.list(body("acme"), body("beta"))
        stage.list(body("espeak", namespace=""), kind=MODEL)
        stage.list(body("beta"))
        stage.list(kind=MODEL)
        assert stage.sink.told == ["tenant team/acme []", "model espeak"]
        assert stage.objects.indexer.get(TENANT, "team", "acme") is None


async def test_both_tenants_of_an_object_are_told_when_its_label_moves(clock: VirtualClock) -> None:
    path = "/api/v1/namespaces/team/configmaps/a"
    async with staged(clock, EVERYWHERE) as stage:
        stage.objects.own_writes.stored("PATCH", path, body("a", 101, tenant="acme", kind="ConfigMap"))
        stage.objects.own_writes.stored("PATCH", path, body("a", 102, tenant="beta", kind="ConfigMap"))
        assert stage.sink.told == ["child of team/acme", "child of team/acme", "child of team/beta"]


async def test_a_deployment_is_told_whole_and_before_its_tenant(clock: VirtualClock) -> None:
    stage = Stage(clock)
    stage.server.objects[DEPLOYMENT] = [body("acme-espeak", tenant="acme")]
    stage.objects.watch((EVERYWHERE,))
    await asyncio.sleep(1)
    assert stage.sink.told == ["deployment acme-espeak", "child of team/acme"]
    stage.objects.watch(())
    await asyncio.sleep(0)
    assert not list(stage.objects.indexer.all(DEPLOYMENT))


async def test_a_deployment_that_its_tenant_does_not_control_is_told_as_gone(clock: VirtualClock) -> None:
    """Its label and its owner reference are whatever somebody wrote: it must hold no place among the rollouts."""
    stage = Stage(clock)
    stage.list(body("acme", version=1))
    stage.server.objects[DEPLOYMENT] = [body("acme-espeak", tenant="acme")]
    stage.objects.watch((EVERYWHERE,))
    await asyncio.sleep(1)
    assert stage.sink.told == ["deployment acme-espeak gone", "child of team/acme"]
    stage.objects.watch(())
    await asyncio.sleep(0)


async def test_a_namespace_that_is_read_by_name_is_current_for_a_while(clock: VirtualClock) -> None:
    """An operator that is confined may not watch namespaces."""
    async with staged(clock, WatchScope("team", WATCHED)) as stage:
        assert not stage.objects.is_current(NAMESPACE, "", "team")
        namespace = body("team", namespace="")
        stage.objects.namespace_read("team", namespace)
        assert stage.objects.is_current(NAMESPACE, "", "team")
        assert not stage.objects.is_current(NAMESPACE, "", "other")
        stage.sink.told.clear()
        labelled = {**namespace, "metadata": {**namespace["metadata"], "resourceVersion": "2", "labels": {"a": "b"}}}
        stage.objects.namespace_read("team", labelled)
        stage.objects.namespace_read("team", labelled)
        assert stage.sink.told == ["namespace team"]
        await asyncio.sleep(SILENCE_SECONDS + 1)
        assert not stage.objects.is_current(NAMESPACE, "", "team")
        stage.objects.namespace_read("team", None)
        assert stage.objects.indexer.get(NAMESPACE, "", "team") is None


async def test_another_label_of_a_namespace_that_is_watched_is_told(clock: VirtualClock) -> None:
    """Its tenants' ceilings and permissions follow from the labels, and no tenant of it has changed."""
    stage = Stage(clock)
    stage.server.objects[NAMESPACE] = [body("team", namespace="")]
    stage.objects.watch(scopes_of((), confined=False, labels=True))
    await asyncio.sleep(1)
    assert stage.sink.told == ["namespace team"]
    labelled = body("team", version=101, namespace="")
    labelled["metadata"]["labels"] = {"ttsfleet.io/max-tier": "Basic"}
    annotated = body("team", version=102, namespace="")
    annotated["metadata"] |= {"labels": labelled["metadata"]["labels"], "annotations": {"kubectl": "noise"}}
    stage.sink.told.clear()
    stage.server.changed[NAMESPACE] = [labelled, annotated]
    await asyncio.sleep(WATCH_SECONDS + 1)
    assert stage.sink.told == ["namespace team"], "once: nobody reads its annotations"
    held = stage.objects.indexer.get(NAMESPACE, "", "team")
    assert held is not None
    assert held.body()["metadata"]["labels"] == {"ttsfleet.io/max-tier": "Basic"}
    stage.objects.watch(())
    await asyncio.sleep(0)


def referring(name: str, calendar: str, version: int = 1) -> dict[str, Any]:
    exceptions = [{"name": "holidays", "calendarRef": {"name": calendar}, "minReplicas": 1}]
    return body(name, version, spec={"schedule": {"exceptions": exceptions}})


async def test_a_change_of_a_calendar_is_told_to_the_tenants_that_refer_to_it(clock: VirtualClock) -> None:
    async with staged(clock, EVERYWHERE) as stage:
        stage.list(referring("acme", "de"), referring("beta", "fr"), body("gamma"), referring("delta", "de"))
        stage.sink.told.clear()
        stage.server.changed[CALENDAR] = [body("de", 101, namespace="", spec={"dates": []})]
        await asyncio.sleep(WATCH_SECONDS + 1)
        assert stage.sink.told == ["schedule of team/acme", "schedule of team/delta"]
        stage.list(referring("acme", "fr", 200), body("delta", 200))
        stage.sink.told.clear()
        stage.server.changed[CALENDAR] = [body("de", 300, namespace="", spec={"dates": [{"name": "a"}]})]
        await asyncio.sleep(WATCH_SECONDS + 1)
        assert stage.sink.told == [], "nobody refers to it any more"
        assert stage.objects.indexer.referring("fr") == [ACME]


async def test_everything_is_compared_with_a_list_once_in_each_interval(clock: VirtualClock) -> None:
    async with staged(clock, EVERYWHERE) as stage:
        first = stage.server.lists
        stage.server.objects[CONFIG_MAP] = [body("a", tenant="acme")]
        await asyncio.sleep(RELIST_SECONDS + 10)
        assert stage.server.lists == first + len(EVERYWHERE.kinds) - len(BY_KOPF)
        assert stage.repairs == 1
        assert stage.sink.told == ["child of team/acme"]


async def test_after_storage_was_restored_nothing_is_current_until_it_is_listed(clock: VirtualClock) -> None:
    async with staged(clock, EVERYWHERE) as stage:
        stage.list(body("acme", 200))
        stage.objects.restored()
        assert not stage.objects.is_current(TENANT, "team", "acme")
        assert not stage.objects.is_current(CONFIG_MAP, "team", "")
        stage.list(body("acme", 50))
        held = stage.objects.indexer.get(TENANT, "team", "acme")
        assert held is not None
        assert held.version == 50
        await asyncio.sleep(10)
        assert stage.objects.is_current(CONFIG_MAP, "team", "")
