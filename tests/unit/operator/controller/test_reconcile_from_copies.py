"""A reconcile from copies writes what a cold one would write, and sends nothing while nothing is to be written."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.operator_builders import NOON, SETTINGS, answering, live, pod
from tests.support.resources import KEY, Object, model_body, stored, tenant_body
from tts_operator.clock import SystemClock
from tts_operator.cluster.client import Cluster
from tts_operator.controller.reconcile_tenant import ReconcileContext, reconcile
from tts_operator.informer.indexer import Indexer
from tts_operator.informer.reader import CachedReader, LiveReader
from tts_operator.objects.kinds import CHILDREN, HORIZONTAL_POD_AUTOSCALER, MODEL, NAMESPACE, POD, TENANT, Kind
from tts_operator.objects.manifest import Body, Manifest, Ref, ref_of

SECRET = "Secret"
NIGHT = {"name": "night", "start": "20:00", "end": "06:00", "minReplicas": 1, "maxReplicas": 2}
SCHEDULE = {"default": {"minReplicas": 3, "maxReplicas": 6}, "windows": [NIGHT]}
KINDS = {kind.name: kind for kind in (TENANT, MODEL, NAMESPACE, POD, *CHILDREN)}
REQUIRED = frozenset({"template", "selector", "podSelector", "ports", "scaleTargetRef", "maxReplicas"})
"""Fields without which the API server takes no child."""
SPOILED = "spoiled"
TURNS = 8
"""Reconciles in which any of these tenants converges."""


class Clock(SystemClock):
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.at = NOON

    def now(self) -> datetime:
        return self.at


class World(Cluster):
    """An API server of one tenant, whose objects are copied as soon as they are written. It notes every request."""

    def __init__(self) -> None:
        self.bodies: dict[Ref, Object] = {}
        self.copies = Indexer()
        self.clock = Clock()
        self.reads: list[Ref] = []
        self.writes: list[str] = []
        self.frozen = False
        """Whether writes are noted only."""
        self._version = 41
        self.put(stored(tenant_body("espeak", schedule=SCHEDULE, auth={"modes": ["None"]})))
        self.put(stored(model_body(), uid="uid-of-espeak", generation=1))
        self.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": KEY.namespace, "uid": "uid-of-team"}})
        self.reader = CachedReader(self.copies, lambda *_: True, LiveReader(self))

    def put(self, body: Body) -> None:
        self._version += 1
        written = copy.deepcopy({**body, "metadata": {**body["metadata"], "resourceVersion": str(self._version)}})
        self.bodies[ref_of(written)] = written
        if written["kind"] in KINDS:
            self.copies.put(KINDS[written["kind"]], written)

    def remove(self, body: Object) -> None:
        self._version += 1
        self.bodies.pop(ref_of(body))
        gone = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self._version)}}
        self.copies.remove(KINDS[body["kind"]], gone)

    def of(self, kind: Kind) -> list[Object]:
        return [body for body in self.bodies.values() if body["kind"] == kind.name]

    def children(self) -> list[Object]:
        kinds = {kind.name for kind in CHILDREN if kind.listed}
        return [self.bodies[ref] for ref in sorted(self.bodies) if ref.kind in kinds]

    async def get(self, ref: Ref, *, metadata_only: bool = False) -> Body | None:
        self.reads.append(ref)
        return copy.deepcopy(self.bodies.get(ref))

    async def apply(self, manifest: Manifest, *, force: bool) -> Body:
        before = self.bodies.get(manifest.ref, {})
        written = live(manifest, at=self.clock.at)
        if "status" in before:
            written["status"] = before["status"]
        if "replicas" in before.get("spec", {}) and manifest.ref.kind == "Deployment":
            written["spec"]["replicas"] = before["spec"]["replicas"]
            written["metadata"]["generation"] = before["metadata"]["generation"] + 1
        return self._write("apply", manifest.ref, written, manifest.body)

    async def apply_status(self, ref: Ref, uid: str, status: Body, manager: str = "") -> None:
        self._write("status", ref, {**self.bodies[ref], "status": dict(status)}, status)

    async def claim(self, ref: Ref, body: Body, release: str) -> Body:
        claimed = {**body, "status": {**(body.get("status") or {}), "release": release}}
        self._write("claim", ref, claimed, release)
        return self.bodies[ref]

    async def own_replicas(self, ref: Ref, replicas: int, version: str) -> None:
        await self.scale(ref, replicas, version)

    async def scale(self, ref: Ref, replicas: int, version: str) -> None:
        self.writes.append(f"scale {ref} {replicas}")
        if not self.frozen:
            body = copy.deepcopy(self.bodies[ref])
            body["spec"]["replicas"] = replicas
            body["metadata"]["generation"] += 1
            self.put(answering(body))

    async def annotate(self, ref: Ref, annotation: str, value: str) -> None:
        body = copy.deepcopy(self.bodies[ref])
        body["metadata"].setdefault("annotations", {})[annotation] = value
        self._write("annotate", ref, body, value)

    async def json_patch(self, ref: Ref, operations: Any) -> Body:
        return self._write("json patch", ref, self.bodies[ref], operations[1:])

    async def delete(self, ref: Ref, uid: str) -> None:
        self.writes.append(f"delete {ref}")
        if not self.frozen:
            self.remove(self.bodies[ref])

    async def create(self, manifest: Manifest) -> Body:
        return manifest.body  # an event

    async def patch(self, ref: Ref, change: Body) -> None:
        """An event that is counted again."""

    def _write(self, verb: str, ref: Ref, body: Object, what: object) -> Object:
        self.writes.append(f"{verb} {ref} {json.dumps(what, sort_keys=True, default=str)}")
        if not self.frozen:
            self.put(body)
            return self.bodies[ref]
        return body

    def context(self) -> ReconcileContext:
        """An operator that has just started."""
        return ReconcileContext(self, SETTINGS, self.clock, reader=self.reader)

    async def converged(self) -> ReconcileContext:
        """An operator that knows of the tenant that it has converged."""
        context = self.context()
        for _ in range(TURNS):
            await reconcile(KEY, context)
            for deployment in self.of(KINDS["Deployment"]):
                if deployment != answering(copy.deepcopy(deployment)):
                    self.put(answering(copy.deepcopy(deployment)))
            inputs = context.inputs(await context.sources(KEY), KEY)
            if context.converged.find(KEY, inputs, self.clock.at) is not None:
                return context
        raise AssertionError(f"it writes again and again: {self.writes[-3:]}")

    async def would_write(self, context: ReconcileContext) -> list[str]:
        """The writes of a reconcile now, which changes nothing."""
        self.frozen, self.writes = True, []
        await reconcile(KEY, context)
        return self.writes


async def test_a_full_reconcile_of_a_converged_tenant_reads_secrets_and_sends_nothing_else() -> None:
    """Copies have all other objects; that the tenant exists matters only to a write."""
    world = World()
    context = await world.converged()
    context.converged.clear()
    world.reads = []
    assert await world.would_write(context) == []
    assert {ref.kind for ref in world.reads} == {SECRET}
    world.reads = []
    assert await world.would_write(context) == []
    assert world.reads == [], "and one of which nothing has changed reads nothing"


async def test_a_tenant_is_looked_at_once_more_before_anything_of_it_is_written() -> None:
    world = World()
    context = await world.converged()
    world.remove(world.children()[0])
    world.reads = []
    assert await world.would_write(context)
    assert Ref.of(TENANT, *KEY) in world.reads


Edit = Callable[[World, int], None]


def edited(body: Object, change: Callable[[Object], object]) -> Object:
    after = copy.deepcopy(body)
    change(after)
    return after


def of_the_tenant(**spec: Any) -> Edit:
    def edit(world: World, number: int) -> None:
        tenant = world.bodies[Ref.of(TENANT, *KEY)]
        after = edited(tenant, lambda body: body["spec"].update(spec))
        after["metadata"]["generation"] += 1
        world.put(after)

    return edit


def of_the_model(**spec: Any) -> Edit:
    def edit(world: World, number: int) -> None:
        world.put(edited(world.of(MODEL)[0], lambda body: body["spec"].update(spec)))

    return edit


def of_the_namespace(world: World, number: int) -> None:
    tier = ("Standard", "VIP")[number % 2]
    labels = {"ttsfleet.io/max-tier": tier}
    world.put(edited(world.of(NAMESPACE)[0], lambda body: body["metadata"].update(labels=labels)))


def a_child(world: World, number: int) -> Object | None:
    children = world.children()
    return children[number % len(children)] if children else None


def deleted(world: World, number: int) -> None:
    if (child := a_child(world, number)) is not None:
        world.remove(child)


def labelled(world: World, number: int) -> None:
    if (child := a_child(world, number)) is not None:
        labels = {**child["metadata"].get("labels", {}), "a": "b"}
        world.put(edited(child, lambda body: body["metadata"].update(labels=labels)))


def spoiled(world: World, number: int) -> None:
    """A file has another text, or a field that may be absent is."""
    if (child := a_child(world, number)) is None:
        return
    part = "data" if "data" in child else "spec"
    names = sorted(child.get(part, {}).keys() - REQUIRED)
    if names and part == "data":
        world.put(edited(child, lambda body: body[part].update({names[0]: SPOILED})))
    elif names:
        world.put(edited(child, lambda body: body[part].pop(names[number % len(names)])))


def failing(world: World, number: int) -> None:
    for deployment in world.of(KINDS["Deployment"]):
        world.put(answering(copy.deepcopy(deployment), number % 3))


def new_pod(world: World, number: int) -> None:
    found = pod(name=f"acme-espeak-{number}", annotations={"a": "b"})
    found["metadata"]["uid"] = f"uid-of-pod-{number}"
    found["spec"] = {"containers": [{"name": "tts-server", "image": SETTINGS.server_image}]}
    world.put({"apiVersion": "v1", "kind": "Pod", **found})


def rival(world: World, number: int) -> None:
    world.put(
        {
            "apiVersion": "autoscaling/v2",
            "kind": HORIZONTAL_POD_AUTOSCALER.name,
            "metadata": {"name": f"rival-{number}", "namespace": KEY.namespace, "uid": f"uid-of-rival-{number}"},
            "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "acme-espeak"}, "maxReplicas": 9},
        }
    )


def later(world: World, number: int) -> None:
    world.clock.at += timedelta(minutes=37 * (1 + number))


def nothing(world: World, number: int) -> None:
    """An event without a change."""


EDITS: dict[str, Edit] = {
    "nothing": nothing,
    "a quota": of_the_tenant(quota={"requestsPerMinute": 7}),
    "a suspension": of_the_tenant(suspend=True),
    "another schedule": of_the_tenant(schedule={"default": {"minReplicas": 2, "maxReplicas": 2}}),
    "an unknown model": of_the_tenant(models=[{"name": "espeak"}, {"name": "unknown"}]),
    "another image": of_the_model(image="registry.example/other:2"),
    "other voices": of_the_model(voices=[{"name": "en-us", "languages": ["en"]}]),
    "a label of the namespace": of_the_namespace,
    "a deleted child": deleted,
    "another label of a child": labelled,
    "another value in a child": spoiled,
    "pods that fail": failing,
    "a new pod": new_pod,
    "a second HPA": rival,
    "time": later,
}


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(EDITS)), st.integers(0, 20)), min_size=1, max_size=3))
def test_whatever_changes_the_next_reconcile_writes_what_a_cold_one_would_write(changes: list[tuple[str, int]]) -> None:
    async def warm_and_cold() -> tuple[list[str], list[str]]:
        world = World()
        warm = await world.converged()
        for name, number in changes:
            EDITS[name](world, number)
        return await world.would_write(warm), await world.would_write(world.context())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tts_operator.observe.sources.secrets.token_urlsafe", lambda _bytes: "a-token")
        warm, cold = asyncio.run(warm_and_cold())
    assert warm == cold


def test_the_edits_lead_to_writes() -> None:
    """Otherwise the property above would hold for a reconcile that never looks."""

    async def writes(edit: Edit) -> list[str]:
        world = World()
        await world.converged()
        edit(world, 17)
        return await world.would_write(world.context())

    for name in ("a quota", "another image", "a deleted child", "another value in a child", "time"):
        assert asyncio.run(writes(EDITS[name])), name
