"""Which writes still make sense after one has failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, cast

import pytest

from tests.support.operator_builders import DAY, NOON, SETTINGS, child, observe, ref, settle
from tests.support.resources import KEY, UID, Object, model, stored, tenant_body
from tts_operator.clock import SystemClock
from tts_operator.cluster.client import Cluster, Request
from tts_operator.cluster.errors import Conflict, NotFound, Refused
from tts_operator.controller.apply import PlanExecutor, depends_on_failure
from tts_operator.controller.event_recorder import EventRecorder, event_manifest
from tts_operator.controller.reconcile_tenant import RELEASE, ReconcileContext, reconcile
from tts_operator.controller.report import report
from tts_operator.objects.additions import Addition
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import Kind
from tts_operator.objects.labels import CONFIG_HASH
from tts_operator.objects.manifest import Body, Manifest, Ref, ref_of
from tts_operator.objects.problem import Problem
from tts_operator.plan.actions import Action, Annotate, Apply, Delete, Refuse, Remove, Scale
from tts_operator.rollout.policy import PoolKey
from tts_operator.rollout.situation import MAX_CONCURRENT_TENANTS
from tts_operator.snapshot.accepted import spec_text
from tts_operator.status.events import Event

DEPLOYMENT, CONFIG, POD = ref("Deployment", "acme-espeak"), ref("ConfigMap", "acme-quota"), ref("Pod", "acme-espeak-1")
NUDGE = Annotate(POD, CONFIG_HASH, "2", "config 1 -> 2")
WAKE = Scale(DEPLOYMENT, 1, None, "never scaled before")
CASES: dict[str, tuple[Action, list[Ref], bool]] = {
    "a pod is not told of limits that were not written": (NUDGE, [CONFIG], True),
    "nor of a credential": (NUDGE, [ref("Secret", "acme-internal")], True),
    "it is told of what was, whatever else failed": (NUDGE, [DEPLOYMENT], False),
    "what was not made is not scaled": (WAKE, [DEPLOYMENT], True),
    "everything else is": (WAKE, [CONFIG], False),
    "deletes go on": (Delete(DEPLOYMENT, "uid", "no longer wanted"), [CONFIG], False),
}


@pytest.mark.parametrize(("action", "failed", "expected"), CASES.values(), ids=CASES)
def test_after_a_failure(action: Action, failed: list[Ref], expected: bool) -> None:
    assert depends_on_failure(action, failed) is expected


class Refusing:
    """A cluster that answers every write of replicas so."""

    def __init__(self, answer: Refused) -> None:
        self._answer = answer

    async def scale(self, *_: Any) -> None:
        raise self._answer


@pytest.mark.parametrize("answer", [Conflict("Conflict", "modified"), NotFound("NotFound", "gone")], ids=str)
async def test_a_deployment_that_moved_on_or_went_is_read_again_and_no_failure(answer: Refused) -> None:
    """The tenant's conditions must not tell of what the next reading, at once, finds to be well."""
    cluster = cast("Cluster", cast("Any", Refusing(answer)))
    outcome = await PlanExecutor(cluster, observe()).run([Scale(DEPLOYMENT, 1, "7", "woken")])
    assert outcome.failures == {}
    assert outcome.stale


class Applying:
    """Takes every apply, and notes the annotations of pods."""

    def __init__(self) -> None:
        self.annotated: list[Ref] = []

    async def apply(self, manifest: Manifest, *, force: bool) -> Object:
        return dict(manifest.body)

    async def annotate(self, ref: Ref, *_: Any) -> None:
        self.annotated.append(ref)


@pytest.mark.parametrize("lingers", [True, False])
async def test_pods_are_told_of_limits_that_were_written_although_a_finalizer_holds_them(lingers: bool) -> None:
    cluster = Applying()
    held = Refuse(CONFIG, Problem("DeletionBlocked", "held"), lingers=lingers)
    limits = Apply(Manifest(CONFIG, {"metadata": {"name": "acme-quota"}}), "changed")
    executor = PlanExecutor(cast("Cluster", cast("Any", cluster)), observe())
    outcome = await executor.run([limits, held, NUDGE] if lingers else [held, NUDGE])
    assert outcome.failures == {CONFIG: held.problem}
    assert cluster.annotated == ([POD] if lingers else [])


class Moved(Applying):
    """An object that has changed since it was observed."""

    async def json_patch(self, *_: Any) -> Object:
        raise Conflict("Conflict", "the object has been modified")


async def test_nothing_more_is_written_to_an_object_that_moved_on() -> None:
    """The addition stands elsewhere now: the next reading, at once, decides again."""
    manifest = Manifest(DEPLOYMENT, {"metadata": {"name": "acme-espeak"}})
    evil = Addition(("spec", "evil"), ("spec", "evil"), "1")
    executor = PlanExecutor(cast("Cluster", cast("Any", Moved())), observe())
    outcome = await executor.run([Remove(manifest, (evil,), "7"), Apply(manifest, "changed"), WAKE])
    assert (outcome.stale, outcome.failures, outcome.applied) == (True, {}, {})


class Stuck:
    """Applies a Deployment, and never returns from the write after it."""

    async def apply(self, manifest: Manifest, *, force: bool) -> Object:
        return {**manifest.body, "metadata": {**manifest.body["metadata"], "resourceVersion": "8"}}

    async def scale(self, *_: Any) -> None:
        await asyncio.Event().wait()


async def test_a_cancelled_plan_has_an_outcome_of_the_writes_that_were_made() -> None:
    manifest = Manifest(DEPLOYMENT, {"metadata": {"name": "acme-espeak"}})
    executor = PlanExecutor(cast("Cluster", cast("Any", Stuck())), observe())
    running = asyncio.create_task(executor.run([Apply(manifest, "missing"), Scale(DEPLOYMENT, 2, None, "woken")]))
    await asyncio.sleep(1)
    running.cancel()
    await asyncio.wait({running})
    assert [body["metadata"]["resourceVersion"] for body in executor.outcome.deployments] == ["8"]


MODEL = model(image="new:2")
SERVING = observe(known=[MODEL], children=settle(observe(), NOON - timedelta(hours=1)))
"""A tenant whose model has just changed."""


class LosingLeadership(Cluster):
    """Holds SERVING, and never returns from the write that follows the Deployment's."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()

    async def get(self, ref: Ref, *, metadata_only: bool = False) -> Body | None:
        if ref.kind in {"TTSTenant", "TTSModel", "Namespace"}:
            stored = {"TTSTenant": SERVING.body, "TTSModel": MODEL.model_dump(mode="json", by_alias=True)}
            return stored.get(ref.kind, {"metadata": {"name": ref.name}})
        return SERVING.children.get(ref)

    async def list(self, kind: Kind, *_: Any, **__: Any) -> AsyncIterator[Body]:
        for live in SERVING.children.values():
            if live["kind"] == kind.name:
                yield live

    async def apply(self, manifest: Manifest, *, force: bool) -> Object:
        if self.reached.is_set():
            await asyncio.Event().wait()
        metadata = {**manifest.body["metadata"], "resourceVersion": "42", "generation": 2}
        if manifest.ref.kind == "Deployment":
            self.reached.set()
        return {**manifest.body, "metadata": metadata, "status": {"observedGeneration": 1}}

    async def claim(self, ref: Ref, body: Body, release: str) -> Body:
        return {**body, "status": {"release": release}}

    async def annotate(self, *_: Any) -> None:
        await asyncio.Event().wait()

    async def apply_status(self, *_: Any) -> None:
        await asyncio.Event().wait()


async def test_a_rollout_counts_even_if_leadership_ends_right_after_its_write() -> None:
    """An accepted write replaces pods: the limiter must know of it, or too many tenants roll at once."""
    context = ReconcileContext(LosingLeadership(), SETTINGS, SystemClock())
    limiter = context.rollout_limiter
    running = asyncio.create_task(reconcile(KEY, context))
    await asyncio.wait_for(cast("LosingLeadership", context.cluster).reached.wait(), 60)
    await asyncio.sleep(1)
    running.cancel()
    await asyncio.wait({running})
    limiter.record(SERVING.children[DEPLOYMENT])  # a watch event from before the write, which arrives only now
    others = [Key(f"team-{number}", "acme") for number in range(MAX_CONCURRENT_TENANTS)]
    change = "model/large/1"
    waits = [key for key in others if limiter.admit(key, {"acme-large": change})]
    assert waits == others[-1:], "the tenant holds one of the places"
    limiter.retain({PoolKey(key, "acme-large") for key in others})
    assert limiter.admit(others[-1], {"acme-large": change}) == {}, "and a list that does not have it frees it"


class Annotated(LosingLeadership):
    """Its model has a rollout mode. Notes the images of the Deployments that are applied."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = mode
        self.images: list[str] = []

    async def get(self, ref: Ref, *, metadata_only: bool = False) -> Body | None:
        found = await super().get(ref, metadata_only=metadata_only)
        if found is None or ref.kind != "TTSModel" or not self.mode:
            return found
        return {**found, "metadata": {**found["metadata"], "annotations": {"ttsfleet.io/rollout-mode": self.mode}}}

    async def apply(self, manifest: Manifest, *, force: bool) -> Object:
        if manifest.ref.kind == "Deployment":
            self.images.append(manifest.body["spec"]["template"]["spec"]["containers"][0]["image"])
        return {**manifest.body, "metadata": {**manifest.body["metadata"], "resourceVersion": "42", "generation": 2}}

    async def annotate(self, *_: Any) -> None:
        pass

    async def apply_status(self, *_: Any) -> None:
        pass

    async def create(self, manifest: Manifest) -> Body:
        return manifest.body


MODES: dict[str, tuple[str, int, list[str]]] = {
    # the annotation of the model, the tenants of others that roll, and what becomes of the tenant's pods
    "nobody rolls": ("", 0, ["new:2"]),
    "the places are taken": ("", MAX_CONCURRENT_TENANTS, []),
    "it is paused": ("Paused", 0, []),
    "it is let go at once": ("Unlimited", MAX_CONCURRENT_TENANTS, ["new:2"]),
}


@pytest.mark.parametrize(("mode", "rolling", "images"), MODES.values(), ids=MODES)
async def test_the_annotation_of_a_model_decides_how_its_change_is_rolled_out(
    mode: str, rolling: int, images: list[str]
) -> None:
    cluster = Annotated(mode)
    context = ReconcileContext(cluster, SETTINGS, SystemClock())
    for number in range(rolling):
        assert not context.rollout_limiter.admit(Key(f"team-{number}", "acme"), {"acme-large": "model/large/1"})
    await reconcile(KEY, context)
    assert cluster.images == images
    assert context.rollout_limiter.waiting == (not images)


class Elsewhere(LosingLeadership):
    """The tenant belongs to another release."""

    async def get(self, ref: Ref, *, metadata_only: bool = False) -> Body | None:
        found = await super().get(ref, metadata_only=metadata_only)
        return {**(found or {}), "status": {"release": "other/tts-operator"}} if ref.kind == "TTSTenant" else found

    async def apply_status(self, *_: Any) -> None:
        pass


async def test_a_tenant_that_moved_to_another_release_is_queued_no_more() -> None:
    """Otherwise its model would be said to wait for it, and it would be reconciled again and again."""
    context = ReconcileContext(Elsewhere(), SETTINGS, SystemClock())
    limiter, change = context.rollout_limiter, "model/large/1"
    for number in range(MAX_CONCURRENT_TENANTS):
        limiter.admit(Key(f"team-{number}", "acme"), {"acme-large": change})
    assert limiter.admit(KEY, {"acme-large": change}), "it must wait"
    assert await reconcile(KEY, context) is None
    assert limiter.waiting == 0


class WithRefusedSpec(Cluster):
    """A tenant whose present spec is refused and names another model; its last accepted one made these children."""

    def __init__(self, children: list[Object], status: Object) -> None:
        self._children = {ref_of(child): child for child in children}
        self._status = status
        self.applied: list[str] = []
        self.reported: Body = {}

    async def get(self, ref: Ref, *, metadata_only: bool = False) -> Body | None:
        if ref.kind == "TTSTenant":
            return {**stored(tenant_body("other", preventDeletion=True)), "status": self._status}
        if ref.kind == "TTSModel":
            return model(ref.name).model_dump(mode="json", by_alias=True)
        return {"metadata": {"name": ref.name}} if ref.kind == "Namespace" else self._children.get(ref)

    async def list(self, kind: Kind, *_: Any, **__: Any) -> AsyncIterator[Body]:
        for live in self._children.values():
            if live["kind"] == kind.name:
                yield live

    async def apply(self, manifest: Manifest, *, force: bool) -> Object:
        if manifest.ref.kind != "Event":
            self.applied.append(str(manifest.ref))
        return {**manifest.body, "metadata": {**manifest.body["metadata"], "resourceVersion": "42"}}

    async def create(self, manifest: Manifest) -> Body:
        return manifest.body

    async def apply_status(self, ref: Ref, uid: str, status: Body, manager: str = "") -> None:
        self.reported = status


async def test_while_a_spec_is_refused_what_the_last_accepted_one_names_is_read_and_kept() -> None:
    """Decided by the stored copy alone: the present spec names a model that must not get a pool."""
    accepted = observe("espeak", schedule=DAY)
    children = settle(accepted)
    child(children, "NetworkPolicy", "acme-espeak")["spec"]["egress"] = [{}]
    status = {
        "release": RELEASE,
        "acceptedSpec": spec_text(accepted.body or {}),
        "conditions": [{"type": "Accepted", "status": "True", "observedGeneration": 1}],
    }
    cluster = WithRefusedSpec(children, status)
    await reconcile(KEY, ReconcileContext(cluster, SETTINGS, SystemClock()))
    assert cluster.applied == ["netpol/acme-espeak"]
    assert cluster.reported["acceptedSpec"] == status["acceptedSpec"]
    assert [pool["model"] for pool in cluster.reported["pools"]] == ["espeak"]
    forgotten = WithRefusedSpec(children, {"release": RELEASE})
    await reconcile(KEY, ReconcileContext(forgotten, SETTINGS, SystemClock()))
    assert forgotten.applied == [], "nothing is known that could be followed"


class Colliding(Cluster):
    """Answers every write with a conflict, and holds an object of this UID."""

    def __init__(self, uid: str | None) -> None:
        self._uid = uid

    async def send(self, request: Request) -> dict[str, Any]:
        if request.writes:
            raise Conflict("Conflict", "the object has been modified")
        if self._uid is None:
            raise NotFound("NotFound", "gone")
        return {"metadata": {"uid": self._uid}}


class EndingNamespace(Cluster):
    """The tenant is still there; its namespace is being deleted, and has lost the tenant's children already."""

    def __init__(self) -> None:
        pass

    async def get(self, ref: Ref, *, metadata_only: bool = False) -> dict[str, Any] | None:
        metadata = {"name": ref.name, "deletionTimestamp": "2026-11-04T12:00:00Z"}
        return {"TTSTenant": stored(tenant_body()), "Namespace": {"metadata": metadata}}.get(ref.kind)

    async def list(self, *_: Any, **__: Any) -> AsyncIterator[dict[str, Any]]:
        for found in tuple[dict[str, Any]]():
            yield found

    async def send(self, request: Request) -> dict[str, Any]:
        raise AssertionError(f"{request} makes no sense any more")


async def test_nothing_is_made_in_a_namespace_that_is_being_deleted() -> None:
    """The API server would refuse each write, and each would be a warning in the log."""
    assert await reconcile(KEY, ReconcileContext(EndingNamespace(), SETTINGS, SystemClock())) is None


async def test_a_status_that_other_writes_outran_is_written_again() -> None:
    with pytest.raises(Conflict):
        await report(Colliding(UID), observe(), {"conditions": []}, NOON, EventRecorder())


@pytest.mark.parametrize("uid", [None, "of-a-namesake"])
async def test_the_status_of_a_tenant_that_is_gone_is_nobodys(uid: str | None) -> None:
    await report(Colliding(uid), observe(), {"conditions": []}, NOON, EventRecorder())


@pytest.mark.parametrize(("message", "note"), [("brief", "brief"), ("中" * 500, "中" * 341), ("a" * 2000, "a" * 1024)])
def test_an_event_holds_as_many_bytes_of_its_message_as_the_api_server_takes(message: str, note: str) -> None:
    found = event_manifest(observe(), Event("Warning", "VoiceNotFound", message), NOON)
    assert found.body["note"] == note
