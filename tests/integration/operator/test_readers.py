"""One contract for both readers: of the API server itself, and of the copies that watches keep current."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, cast

import pytest
import pytest_asyncio

from tests.support.api_server import CLOCK, DAY, SETTINGS, ApiServer, converge, eventually
from tests.support.object_watches import Watched, watched
from tests.support.operator_builders import built
from tests.support.resources import tenant_body
from tts_operator.controller.reconcile_tenant import ReconcileContext, reconcile
from tts_operator.informer.held_object import MEASUREMENTS
from tts_operator.informer.reader import CachedReader, LiveReader, Reader
from tts_operator.objects.kinds import CHILDREN, CONFIG_MAP, DEPLOYMENT, MODEL, NAMESPACE, POD, TENANT, Kind
from tts_operator.objects.manifest import Body, Ref
from tts_operator.observe.credential_files import StoreFiles
from tts_operator.observe.reader import observe
from tts_operator.observe.sources import Sources
from tts_operator.plan.plan import plan
from tts_operator.resolve.resolve import resolve

SEEN_SECONDS = 10.0


@dataclass
class Harness:
    """A reader, and how to wait until it knows what was written by others."""

    reader: Reader
    seen: Callable[[Callable[[], Awaitable[bool]], str], Awaitable[None]]


async def at_once(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    assert await holds(), what


async def soon(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    await eventually(holds, what, SEEN_SECONDS)


@pytest_asyncio.fixture(params=["live", "cached"])
async def harness(request: pytest.FixtureRequest, api: ApiServer) -> AsyncIterator[Harness]:
    async with AsyncExitStack() as stack:
        if request.param == "live":
            yield Harness(LiveReader(api.cluster), at_once)
        else:
            yield Harness((await stack.enter_async_context(watched(api))).reader, soon)


def deployment(name: str, tenant: str = "", **labels: str) -> dict[str, Any]:
    pods = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "a", "image": "example.invalid/a:1"}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {**labels, **({"ttsfleet.io/tenant": tenant} if tenant else {})}},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": pods},
    }


def in_namespace(api: ApiServer, body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "metadata": {**body["metadata"], "namespace": api.namespace}}


def autoscaler(name: str, **labels: str) -> dict[str, Any]:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "acme-espeak"}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "labels": labels},
        "spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 2},
    }


async def names(bodies: Awaitable[list[Body]]) -> list[str]:
    return [body["metadata"]["name"] for body in await bodies]


async def test_what_does_not_exist_is_none(api: ApiServer, harness: Harness) -> None:
    assert await harness.reader.get(api.ref("TTSTenant", "nobody")) is None
    assert await harness.reader.get(Ref.of(MODEL, "", "nothing")) is None
    assert await harness.reader.get(Ref.of(NAMESPACE, "", "nowhere")) is None
    assert await harness.reader.of_tenant(CONFIG_MAP, api.key()) == []


async def test_a_tenant_a_model_and_a_namespace_are_read_by_name(api: ApiServer, harness: Harness) -> None:
    name = await api.publish_model()
    await api.user.create(tenant_body(name, key=api.key()))
    for ref in (api.ref("TTSTenant", "acme"), Ref.of(MODEL, "", name), Ref.of(NAMESPACE, "", api.namespace)):

        async def is_read(ref: Ref = ref) -> bool:
            return await harness.reader.get(ref) is not None

        await harness.seen(is_read, f"{ref} is read")
        found, live = await harness.reader.get(ref), await api.cluster.get(ref)
        assert found is not None
        assert live is not None
        for part in ("uid", "resourceVersion", "labels"):
            assert found["metadata"].get(part) == live["metadata"].get(part)
        assert (found.get("spec") if ref.kind != "Namespace" else None) == live.get(
            "spec" if ref.kind != "Namespace" else ""
        )
        assert (found["apiVersion"], found["kind"]) == (live["apiVersion"], live["kind"])


async def test_a_change_and_a_deletion_are_seen(api: ApiServer, harness: Harness) -> None:
    name = await api.publish_model()
    await api.user.create(tenant_body(name, key=api.key()))
    tenant = api.ref("TTSTenant", "acme")

    async def tier() -> str:
        body = await harness.reader.get(tenant)
        return str(body["spec"].get("tier", "none")) if body else "gone"

    async def is_vip() -> bool:
        return await tier() == "VIP"

    async def is_gone() -> bool:
        return await tier() == "gone"

    await api.user.patch(tenant, {"spec": {"tier": "VIP"}})
    await harness.seen(is_vip, "the change is seen")
    await api.user.delete(tenant)
    await harness.seen(is_gone, "the deletion is seen")


async def test_objects_are_found_by_the_label_of_their_tenant(api: ApiServer, harness: Harness) -> None:
    """Whoever else's they are, and whatever other labels they have: the plan tells them apart."""
    await api.user.create(in_namespace(api, deployment("b-of-acme", "acme")))
    await api.user.create(in_namespace(api, deployment("a-of-acme", "acme")))
    await api.user.create(in_namespace(api, deployment("of-beta", "beta")))
    await api.user.create(in_namespace(api, deployment("nobodys")))

    async def both() -> bool:
        return await names(harness.reader.of_tenant(DEPLOYMENT, api.key())) == ["a-of-acme", "b-of-acme"]

    async def one() -> bool:
        return await names(harness.reader.of_tenant(DEPLOYMENT, api.key())) == ["a-of-acme"]

    await harness.seen(both, "both are found")
    await api.user.patch(api.ref("Deployment", "b-of-acme"), {"metadata": {"labels": {"ttsfleet.io/tenant": "beta"}}})
    await harness.seen(one, "one of them is another tenant's now")
    await api.user.patch(api.ref("Deployment", "a-of-acme"), {"metadata": {"labels": {"ttsfleet.io/tenant": None}}})

    async def none() -> bool:
        return await harness.reader.of_tenant(DEPLOYMENT, api.key()) == []

    await harness.seen(none, "the other is nobody's")


async def test_autoscalers_of_others_are_those_without_the_operators_label(api: ApiServer, harness: Harness) -> None:
    await api.user.create(in_namespace(api, autoscaler("keda")))
    await api.user.create(in_namespace(api, autoscaler("of-acme", **{"ttsfleet.io/tenant": "acme"})))
    await api.user.create(in_namespace(api, autoscaler("ours", **{"app.kubernetes.io/managed-by": "tts-operator"})))

    async def found() -> bool:
        return await names(harness.reader.foreign_autoscalers(api.namespace)) == ["keda", "of-acme"]

    await harness.seen(found, "both of others are found")
    body = (await harness.reader.foreign_autoscalers(api.namespace))[0]
    assert body["spec"]["scaleTargetRef"]["name"] == "acme-espeak"


async def test_everything_of_a_kind_is_yielded(api: ApiServer, harness: Harness) -> None:
    name = await api.publish_model()
    for tenant in ("acme", "beta"):
        await api.user.create(tenant_body(name, key=api.key(tenant)))
    managed = {"app.kubernetes.io/managed-by": "tts-operator"}
    await api.user.create(in_namespace(api, deployment("ours", "acme", **managed)))
    await api.user.create(in_namespace(api, deployment("not-ours", "acme")))

    async def all_of(kind: Kind, namespace: str) -> set[str]:
        return {body["metadata"]["name"] async for body in harness.reader.all(kind, namespace)}

    async def found() -> bool:
        return (
            await all_of(TENANT, api.namespace) == {"acme", "beta"}
            and await all_of(DEPLOYMENT, api.namespace) == {"ours"}
            and name in await all_of(MODEL, "")
        )

    await harness.seen(found, "all are yielded")


@pytest.mark.parametrize(
    "spec", [{"schedule": DAY}, {"auth": {"modes": ["APIKey", "JWT"]}, "tier": "VIP"}, {"suspend": True}], ids=str
)
async def test_both_readers_see_the_same_of_a_tenant(api: ApiServer, spec: dict[str, Any]) -> None:
    """And so the plan and everything else that follows from a reading is the same."""
    models = [await api.publish_model(), await api.publish_model()]
    await api.user.create(tenant_body(*models, key=api.key(), **spec))
    await converge(api)
    async with watched(api) as copies:
        live = await observe(Sources(api.cluster, SETTINGS, StoreFiles(SETTINGS)), api.key(), CLOCK.now())
        sources = Sources(api.cluster, SETTINGS, StoreFiles(SETTINGS), reader=copies.reader)
        cached = await observe(sources, api.key(), CLOCK.now())
    assert cached.children.keys() == live.children.keys()
    for ref, child in live.children.items():
        expected = cast("dict[str, Any]", {**child, "metadata": dict(child["metadata"])})
        if "status" in expected and ref.kind == "HorizontalPodAutoscaler":
            expected["status"] = {name: part for name, part in child["status"].items() if name not in MEASUREMENTS}
        assert with_field_sets(cached.children[ref]) == with_field_sets(expected), ref
    assert [pod["metadata"]["name"] for pod in cached.pods] == [pod["metadata"]["name"] for pod in live.pods]
    assert cached.namespace_labels == live.namespace_labels
    assert cached.models == live.models or [each and each.spec for each in cached.models.values()] == [
        each and each.spec for each in live.models.values()
    ]
    assert plan(built(resolve(cached, SETTINGS, CLOCK.now())), cached) == []


def with_field_sets(body: Body) -> dict[str, Any]:
    """The object, of whose managedFields everything counts but the constant type of the sets."""
    entries = [
        {name: part for name, part in entry.items() if name != "fieldsType"}
        for entry in body["metadata"].get("managedFields") or ()
    ]
    return {**body, "metadata": {**body["metadata"], "managedFields": entries}}


async def test_a_reconcile_reads_what_the_one_before_it_has_written(api: ApiServer) -> None:
    """Whatever the watches have delivered by then: a tenant converges without a pause between reconciles."""
    name = await api.publish_model()
    await api.user.create(tenant_body(name, key=api.key(), schedule=DAY))
    async with watched(api) as copies:
        context = ReconcileContext(api.cluster, SETTINGS, CLOCK, reader=copies.reader)
        await eventually(lambda: exists(copies, api.ref("TTSTenant", "acme")), "the tenant is seen")
        await reconcile(api.key(), context)
        children = len(await api.children())
        for _ in range(5):
            created = [write for write in api.writes if write.verb == "PATCH" and write.kind == "deployments"]
            await reconcile(api.key(), context)
        again = [write for write in api.writes if write.verb == "PATCH" and write.kind == "deployments"]
        assert len(again) == len(created)
        assert len(await api.children()) == children


async def exists(copies: Watched, ref: Ref) -> bool:
    return await copies.reader.get(ref) is not None


async def is_recorded(context: ReconcileContext, api: ApiServer) -> bool:
    """Reconcile until the tenant is known to have converged."""
    await reconcile(api.key(), context)
    inputs = context.inputs(await context.sources(api.key()), api.key())
    return context.converged.find(api.key(), inputs, CLOCK.now()) is not None


async def test_a_converged_tenant_costs_no_request(api: ApiServer) -> None:
    name = await api.publish_model()
    await api.user.create(tenant_body(name, key=api.key(), schedule=DAY))
    await converge(api)
    async with watched(api) as copies:
        context = ReconcileContext(api.cluster, SETTINGS, CLOCK, reader=copies.reader)
        await eventually(lambda: is_recorded(context, api), "it has converged")
        before = api.cluster.requests
        for _ in range(3):
            await reconcile(api.key(), context)
        assert api.cluster.requests == before
        await api.user.patch(api.ref("ConfigMap", "acme-quota"), {"data": {"quota.json": "{}"}})
        await eventually(lambda: is_corrected(api, context), "an edit of a child is corrected")


async def is_corrected(api: ApiServer, context: ReconcileContext) -> bool:
    await reconcile(api.key(), context)
    return bool((await api.get("ConfigMap", "acme-quota"))["data"]["quota.json"] != "{}")


async def test_a_child_of_a_tenant_that_somebody_changes_enqueues_it(api: ApiServer) -> None:
    name = await api.publish_model()
    await api.user.create(tenant_body(name, key=api.key()))
    await converge(api)
    async with watched(api) as copies:

        async def told() -> bool:
            return api.key() in copies.events.children

        copies.events.children.clear()
        await api.user.delete(api.ref("ConfigMap", "acme-quota"))
        await eventually(told, "its tenant is enqueued", SEEN_SECONDS)
        copies.events.namespaces.clear()
        await api.user.patch(
            Ref.of(NAMESPACE, "", api.namespace), {"metadata": {"labels": {"ttsfleet.io/max-tier": "VIP"}}}
        )

        async def namespace_told() -> bool:
            return api.namespace in copies.events.namespaces

        await eventually(namespace_told, "a label of the namespace is told", SEEN_SECONDS)


async def test_whatever_is_not_watched_is_read_from_the_api_server(api: ApiServer) -> None:
    name = await api.publish_model()
    await api.user.create(tenant_body(name, key=api.key()))
    async with watched(api) as copies:
        copies.objects.watch(())
        await api.user.create(in_namespace(api, deployment("of-acme", "acme")))
        assert await names(copies.reader.of_tenant(DEPLOYMENT, api.key())) == ["of-acme"]
        assert copies.reader.stamp(api.key()) is None
        assert not list(copies.objects.indexer.all(POD))
        assert {kind for kind in CHILDREN if kind.listed and list(copies.objects.indexer.all(kind))} == set()


class StaleReader(CachedReader):
    """Copies among which a tenant stays that is gone: its watch is blind, and shows no sign of it."""

    def __init__(self, copies: Watched, tenant: Body) -> None:
        super().__init__(copies.objects.indexer, copies.objects.is_current, copies.reader.live)
        self._tenant = tenant

    async def get(self, ref: Ref) -> Body | None:
        return self._tenant if ref.kind == TENANT.name else await super().get(ref)


async def test_nothing_is_made_for_a_tenant_that_only_copies_have(api: ApiServer) -> None:
    """The garbage collector would delete it, the operator make it again, and a namesake be told of a fight."""
    name = await api.publish_model()
    await api.user.create(tenant_body(name, key=api.key()))
    await converge(api)
    tenant = await api.get("TTSTenant", "acme")
    async with watched(api) as copies:
        await api.user.delete(api.ref("TTSTenant", "acme"))
        await eventually(lambda: has_no_children(api), "the children are collected", 60)
        context = ReconcileContext(api.cluster, SETTINGS, CLOCK, reader=StaleReader(copies, tenant))
        before = list(api.writes)
        again = await reconcile(api.key(), context)
        assert api.writes == before
        assert again is not None
        assert await reconcile(api.key(), context) is None, "the next one reads live"
        assert await api.children() == {}


async def has_no_children(api: ApiServer) -> bool:
    return not await api.children()
