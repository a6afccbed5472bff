"""Keys in, reconciles out: what the controller remembers between them, and what it must forget."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from tests.support.operator_builders import EXPOSED, NOON, exposed_by, observe, pod
from tests.support.resources import Object
from tests.support.virtual_time import BEGINNING, VirtualClock
from tts_operator.clock import Clock
from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import Conflict, Forbidden, Overloaded
from tts_operator.controller import controller as module
from tts_operator.controller.controller import Controller, ControllerOptions
from tts_operator.controller.fair_lanes import Lane
from tts_operator.controller.namespace_access import NamespaceAccess
from tts_operator.controller.reconcile_model import ModelUse
from tts_operator.controller.reconcile_tenant import ReconcileContext, ReconcileFailed
from tts_operator.informer.reader import Reader
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import TENANT, Kind
from tts_operator.objects.manifest import Body, Manifest, Ref
from tts_operator.plan.actions import Apply
from tts_operator.resolve.resolve import resolve
from tts_operator.rollout.limiter import PLACE_SECONDS
from tts_operator.rollout.situation import Limits
from tts_operator.scheduled_scaling.precompute import Requeue
from tts_operator.settings import Settings
from tts_operator.telemetry.metrics import Metrics

ACME, BETA = Key("team", "acme"), Key("team", "beta")


class Stage:
    """An API server that only lists, and reconciles that say what they are told to; both note who came."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.tenants: dict[Key, list[str]] = {}
        self.conditions: dict[Key, list[dict[str, str]]] = {}
        self.hostnames: dict[Key, tuple[str, str]] = {}
        """Tenants that have a host name: when they were created, and the name."""
        self.while_listing: Callable[[str], None] = lambda kind: None
        self.answers: defaultdict[Key, list[Requeue | Exception | None]] = defaultdict(list)
        self.after_reconcile: Callable[[Key], None] = lambda key: None
        self.reconciles: list[tuple[float, Key]] = []
        self.live: list[bool] = []
        self.metrics = Metrics()
        self.apply_seconds = 0.0
        self.forbidden: set[str] = set()

    async def apply(self, manifest: Manifest, *, force: bool) -> Body:
        await asyncio.sleep(self.apply_seconds)
        return manifest.body

    async def reconcile(self, key: Key, context: ReconcileContext) -> Requeue | None:
        self.reconciles.append((self.seconds(), key))
        self.live.append(key in context.outdated)
        self.context = context
        context.outdated.discard(key)
        answer = self.answers[key].pop(0) if self.answers[key] else None
        self.after_reconcile(key)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def seconds(self) -> float:
        return round(self.clock.monotonic(), 1)

    def times(self, key: Key) -> list[float]:
        return [at for at, who in self.reconciles if who == key]

    def lag(self, what: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"tts_operator_schedule_lag_seconds_{what}")

    async def list(self, kind: Kind, namespace: str = "", *_: Any, **__: Any) -> AsyncIterator[Body]:
        if namespace in self.forbidden:
            raise Forbidden("Forbidden", f"{kind.plural} is forbidden in the namespace {namespace}")
        if kind is TENANT:
            for key, models in dict(self.tenants).items():
                if namespace not in ("", key.namespace):
                    continue
                metadata = {"namespace": key.namespace, "name": key.name}
                status: Object = {"conditions": self.conditions.get(key, [])}
                if key in self.hostnames:
                    created, hostname = self.hostnames[key]
                    metadata |= {"creationTimestamp": created, "uid": key.name}
                    status |= {"hostname": hostname, "release": ControllerOptions().release}
                yield {"metadata": metadata, "spec": {"models": [{"name": name} for name in models]}, "status": status}
        self.while_listing(kind.name)


@pytest.fixture
def stage(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> Stage:
    stage = Stage(clock)

    async def no_model(*_: Any) -> None:
        return None

    monkeypatch.setattr(module, "reconcile", stage.reconcile)
    monkeypatch.setattr(module, "reconcile_model", no_model)
    return stage


def controller_on(stage: Stage, access: NamespaceAccess | None = None, **pace: Any) -> Controller:
    cluster, settings, options = cast("Cluster", cast("Any", stage)), Settings(server_image="tts:1"), ControllerOptions
    return Controller(cluster, settings, stage.clock, stage.metrics, options(**pace), access=access)


@asynccontextmanager
async def leading(controller: Controller) -> AsyncIterator[None]:
    """The controller works; at the end leadership is lost."""
    working = asyncio.create_task(controller.work())
    yield
    assert not working.done(), working
    working.cancel()
    await asyncio.wait({working})


def after(seconds: float) -> Requeue:
    return Requeue(BEGINNING + timedelta(seconds=seconds))


def transition(seconds: float) -> Requeue:
    return Requeue(BEGINNING + timedelta(seconds=seconds), transition=True)


async def test_a_model_is_reported_on_when_pods_of_a_tenant_do_not_start(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    uses: list[ModelUse] = []

    async def reported(name: str, cluster: Cluster, objects: Reader, use: ModelUse, clock: Clock) -> None:
        uses.append(use)

    monkeypatch.setattr(module, "reconcile_model", reported)
    controller = controller_on(stage)
    stage.tenants = {ACME: ["espeak"], BETA: ["espeak"]}
    ended = {"exitCode": 3, "message": "the engine does not start"}
    server = {"name": "tts-server", "ready": False, "state": {"terminated": ended}}
    failing = pod(containerStatuses=[server])

    def read(key: Key) -> None:
        controller._context.start_failures.record(replace(observe(pods=[failing]), key=key))

    stage.after_reconcile = read
    async with leading(controller):
        await asyncio.sleep(10)
        assert uses[-1].start_failures.keys() == {ACME, BETA}
        assert not uses[-1].unread
        failing["status"]["containerStatuses"] = [{**server, "ready": True}]
        controller.tenant_changed(BETA, ["espeak"])
        await asyncio.sleep(10)
        assert uses[-1].start_failures.keys() == {ACME}


async def test_a_list_does_not_undo_what_was_seen_while_it_was_read(stage: Stage) -> None:
    """A tenant that began to name a model meanwhile hears of that model's changes, not only at the next list."""
    controller = controller_on(stage)
    stage.tenants = {ACME: ["old"]}

    def meanwhile(kind: str) -> None:
        if kind == "Deployment":
            controller.tenant_changed(ACME, ["new"])
            controller.tenant_changed(BETA, ["new"])

    stage.while_listing = meanwhile
    async with leading(controller):
        await asyncio.sleep(10)
        stage.reconciles.clear()
        controller.model_changed("new", None)
        await asyncio.sleep(1)
        assert {key for _, key in stage.reconciles} == {ACME, BETA}
        stage.reconciles.clear()
        controller.model_changed("old", None)
        await asyncio.sleep(1)
        assert stage.reconciles == []


async def test_other_labels_of_a_namespace_concern_its_tenants_alone(stage: Stage) -> None:
    controller = controller_on(stage)
    elsewhere = Key("other-team", "acme")
    stage.tenants = {ACME: ["a"], BETA: ["a"], elsewhere: ["a"]}
    async with leading(controller):
        await asyncio.sleep(10)
        stage.reconciles.clear()
        controller.namespace_changed("team")
        await asyncio.sleep(1)
        assert [key for _, key in stage.reconciles] == [ACME, BETA]


async def test_a_namespace_that_is_forbidden_keeps_no_other_from_being_served(stage: Stage) -> None:
    """It was deleted, and took its RoleBinding along: at a start, and while the operator runs."""
    gone, later = Key("gone", "acme"), Key("later", "acme")
    access = NamespaceAccess(("team", "gone", "later"))
    controller = controller_on(stage, access, resync_seconds=60)
    stage.tenants = {ACME: ["a"], gone: ["a"], later: ["a"]}
    stage.forbidden = {"gone"}
    async with leading(controller):
        await asyncio.sleep(10)
        assert {key for _, key in stage.reconciles} == {ACME, later}
        stage.forbidden = {"gone", "later"}
        stage.reconciles.clear()
        await asyncio.sleep(90)
        assert {key for _, key in stage.reconciles} == {ACME}
        assert access.readable == ("team",)
        controller.tenant_changed(later, ["a"])
        await asyncio.sleep(1)
        assert {key for _, key in stage.reconciles} == {ACME}, "what cannot be read is not asked for"
        stage.forbidden = set()
        access.granted("gone")
        access.granted("later")
        controller.resync()
        await asyncio.sleep(60)
        assert {key for _, key in stage.reconciles} == {ACME, gone, later}


async def test_the_limits_of_rollouts_are_those_of_its_options(stage: Stage) -> None:
    controller = controller_on(stage, rollout=Limits(concurrent_tenants=2))
    stage.tenants = {ACME: ["a"]}
    async with leading(controller):
        await asyncio.sleep(10)
        limiter = stage.context.rollout_limiter
        waits = [bool(limiter.admit(Key(f"team-{number}", "acme"), {"acme-a": "model/a/1"})) for number in range(3)]
    assert waits == [False, False, True]


async def test_who_waits_for_a_rollout_hears_of_a_place_that_its_deadline_has_freed(stage: Stage) -> None:
    """No event tells of it, and the next list may be later."""
    controller = controller_on(stage, rollout=Limits(concurrent_tenants=1), resync_seconds=100 * PLACE_SECONDS)
    stage.tenants = {ACME: ["a"]}
    async with leading(controller):
        await asyncio.sleep(10)
        limiter, change = stage.context.rollout_limiter, "model/a/1"
        assert not limiter.admit(Key("team-1", "acme"), {"acme-a": change})
        assert limiter.admit(ACME, {"acme-a": change})
        stage.reconciles.clear()
        await asyncio.sleep(PLACE_SECONDS - 30)
        assert stage.reconciles == []
        await asyncio.sleep(60)
        assert {key for _, key in stage.reconciles} == {ACME}


async def test_a_suspension_is_not_counted_as_a_failure(stage: Stage) -> None:
    def condition(type_: str, status: str, reason: str) -> dict[str, str]:
        return {"type": type_, "status": status, "reason": reason}

    asleep = [condition(type_, "True", "Suspended") for type_ in ("Ready", "Suspended")]
    stage.tenants = {ACME: [], BETA: []}
    stage.conditions = {
        ACME: [
            *asleep,
            condition("Available", "False", "Suspended"),
            condition("Progressing", "False", "Suspended"),
            condition("Available", "False", "ScaledToZero"),
        ],
        BETA: [condition("Ready", "False", "Starting"), condition("Available", "False", "Starting")],
    }

    def counted(type_: str, status: str) -> float | None:
        labels = {"type": type_, "status": status}
        return stage.metrics.registry.get_sample_value("tts_operator_tenants", labels)

    async with leading(controller_on(stage)):
        await asyncio.sleep(10)
    assert (counted("Ready", "True"), counted("Ready", "False")) == (1, 1)
    assert counted("Available", "False") == 1
    assert counted("Suspended", "True") == 1
    assert counted("Progressing", "False") is None


async def test_a_new_leader_takes_over_the_host_names_that_are_recorded(stage: Stage) -> None:
    """After a restore from a backup two may have one name: the older keeps it."""
    hostname = "tts.voices.example"
    stage.tenants = {ACME: ["espeak"], BETA: ["espeak"]}
    stage.hostnames = {ACME: ("2026-11-02T00:00:00Z", hostname), BETA: ("2026-11-01T00:00:00Z", hostname)}
    async with leading(controller_on(stage)):
        await asyncio.sleep(1)
    asked = resolve(exposed_by(observe(exposure={"ingress": {}, "hostname": hostname})), EXPOSED, NOON)
    given = {}
    for key in (ACME, BETA, Key("other", "gamma")):
        observed = replace(asked.observed, key=key, body={"metadata": {"uid": key.name}})
        exposure = stage.context.hostnames.admit(replace(asked, observed=observed)).exposure
        given[key.name] = exposure and exposure.hostname
    assert given == {"acme": "", "beta": hostname, "gamma": ""}


async def test_a_list_that_breaks_is_not_the_last_one(stage: Stage) -> None:
    controller = controller_on(stage, resync_seconds=100.0)
    lists: list[float] = []

    def broken(kind: str) -> None:
        if kind == "TTSTenant":
            lists.append(stage.seconds())
            if len(lists) == 2:
                raise KeyError("metadata")

    stage.while_listing = broken
    async with leading(controller):
        await asyncio.sleep(350)
    assert lists == [0, 100, 200, 300]


async def test_a_failed_write_keeps_no_transition_from_its_instant(stage: Stage) -> None:
    """One child that the API server will not take, for hours: the schedule goes on at its instants."""
    stage.answers[ACME] = [ReconcileFailed("NameTaken", after(7000)) for _ in range(1000)]
    controller = controller_on(stage, resync_seconds=100_000.0)
    stage.tenants = {ACME: ["espeak"]}
    async with leading(controller):
        await asyncio.sleep(6999)
        assert all(at < 7000 for at in stage.times(ACME))
        await asyncio.sleep(2)
    assert 7000 in stage.times(ACME)


async def test_a_status_of_our_own_cuts_no_backoff_short(stage: Stage) -> None:
    """The message of a failed write may differ each time: its report must not bring on the next attempt."""
    stage.answers[ACME] = [ReconcileFailed("AdmissionDenied") for _ in range(1000)]
    controller = controller_on(stage)
    stage.tenants = {ACME: ["espeak"]}
    stage.after_reconcile = controller.status_changed
    async with leading(controller):
        await asyncio.sleep(60)
    assert len(stage.times(ACME)) <= 8
    stage.reconciles.clear()


async def test_a_status_that_somebody_edits_is_looked_at(stage: Stage) -> None:
    controller = controller_on(stage)
    stage.tenants = {ACME: ["espeak"]}
    async with leading(controller):
        await asyncio.sleep(60)
        controller.status_changed(ACME)
        await asyncio.sleep(1)
    assert len(stage.times(ACME)) == 2


async def test_the_lateness_of_a_transition_is_counted_once(stage: Stage) -> None:
    stage.answers[ACME] = [transition(100)]
    controller = controller_on(stage)
    stage.tenants = {ACME: ["espeak"]}
    async with leading(controller):
        await asyncio.sleep(200)
    assert stage.times(ACME) == [0, 100]
    assert stage.lag("count") == 1


async def test_whatever_changes_waits_until_the_bounds_are_moved(stage: Stage) -> None:
    """The first of them changes its HPA, which calls for a reconcile: 200 of those would make the last ones late."""
    controller = controller_on(stage)
    stage.tenants = {ACME: []}
    hpa = Ref("autoscaling/v2", "HorizontalPodAutoscaler", ACME.namespace, "acme")
    night = Requeue(
        BEGINNING + timedelta(seconds=10), transition=True, precompute=(Apply(Manifest(hpa, {}), "min 3 -> 1"),)
    )
    stage.answers[ACME] = [night]
    stage.apply_seconds = 3
    async with leading(controller):
        await asyncio.sleep(11)
        controller.child_changed(BETA)
        await asyncio.sleep(10)
    assert stage.times(BETA) == [13]
    assert stage.times(ACME) == [0, 13]


async def test_what_is_due_for_another_reason_is_no_transition(stage: Stage) -> None:
    stage.answers[ACME] = [after(100)]
    controller = controller_on(stage)
    stage.tenants = {ACME: ["espeak"]}
    async with leading(controller):
        await asyncio.sleep(200)
    assert stage.times(ACME) == [0, 100]
    assert stage.lag("count") == 0


async def test_a_replica_that_leads_again_counts_no_transition_that_another_made(stage: Stage) -> None:
    stage.answers[ACME] = [transition(100)]
    controller = controller_on(stage)
    stage.tenants = {ACME: ["espeak"]}
    async with leading(controller):
        await asyncio.sleep(50)
    await asyncio.sleep(10_000)
    async with leading(controller):
        await asyncio.sleep(50)
    assert stage.lag("count") == 0


async def test_a_part_that_ends_takes_the_others_along(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator that goes on without its calendar looks well and is not: the process ends, and is started again."""

    async def broken(*_: Any) -> None:
        await asyncio.sleep(5)
        raise RuntimeError("nobody expected this")

    monkeypatch.setattr("tts_operator.scheduled_scaling.timers.TransitionTimers.run", broken)
    working = asyncio.create_task(controller_on(stage).work())
    async with asyncio.timeout(60):
        await asyncio.wait({working})
    assert working.exception() is not None


def queue_metrics(stage: Stage) -> tuple[float | None, float | None]:
    names = ("tts_operator_queue_depth", "tts_operator_queue_oldest_seconds")
    depth, oldest = (stage.metrics.registry.get_sample_value(name) for name in names)
    lanes = [
        stage.metrics.registry.get_sample_value("tts_operator_queue_lane_depth", {"lane": lane.name.lower()}) or 0
        for lane in Lane
    ]
    assert sum(lanes) == depth, "every key that waits is in one lane"
    return depth, oldest


async def test_a_standby_has_no_queue_to_alert_on(stage: Stage) -> None:
    """Its watches enqueue all day long, and it hands out nothing until it leads."""
    controller = controller_on(stage)
    controller.tenant_changed(ACME, ["espeak"])
    await asyncio.sleep(3600)
    assert queue_metrics(stage) == (0, 0)
    lanes = [{"lane": lane.name.lower()} for lane in Lane]
    depths = [stage.metrics.registry.get_sample_value("tts_operator_queue_lane_depth", lane) for lane in lanes]
    assert depths == [0] * len(lanes)


async def test_a_replica_that_lost_its_leadership_has_no_queue_to_alert_on(stage: Stage) -> None:
    controller = controller_on(stage)
    async with leading(controller):
        await asyncio.sleep(10)
        controller.tenant_changed(ACME, [])
        assert queue_metrics(stage) == (1, 0)
    controller.tenant_changed(BETA, [])
    await asyncio.sleep(60)
    assert queue_metrics(stage) == (0, 0)


async def test_an_idle_leader_has_waited_for_exactly_no_time(stage: Stage) -> None:
    controller = controller_on(stage)
    async with leading(controller):
        await asyncio.sleep(10.1)
        assert queue_metrics(stage) == (0, 0)


async def test_events_that_were_missed_are_repaired_by_a_list_at_once(stage: Stage) -> None:
    controller = controller_on(stage, resync_seconds=100.0)
    stage.tenants = {ACME: []}
    async with leading(controller):
        await asyncio.sleep(10)
        stage.tenants[BETA] = []
        controller.resync()
        await asyncio.sleep(60)
        assert stage.times(BETA)
        assert stage.times(BETA)[0] <= 60
        stage.reconciles.clear()
        await asyncio.sleep(39)
        assert stage.times(ACME) == [], "the next list comes a whole interval after this one"


@pytest.mark.parametrize("error", [Conflict("Conflict", "changed"), ReconcileFailed("Conflict"), KeyError("spec")])
async def test_after_a_failure_the_next_reconcile_reads_live(stage: Stage, error: Exception) -> None:
    """Its copies may have been too old, however that came."""
    stage.answers[ACME] = [error, None]
    stage.tenants = {ACME: ["espeak"]}
    controller = controller_on(stage)
    async with leading(controller):
        await asyncio.sleep(60)
        controller.status_changed(ACME)
        await asyncio.sleep(1)
    assert stage.live == [False, True, False]


async def test_a_server_that_is_overloaded_is_asked_again_when_it_says(stage: Stage) -> None:
    stage.answers[ACME] = [Overloaded("too many requests", 30.0), None]
    stage.tenants = {ACME: ["espeak"]}
    async with leading(controller_on(stage)):
        await asyncio.sleep(60)
    assert stage.times(ACME) == [0, 30]


async def test_each_lane_tells_how_long_its_keys_have_waited(stage: Stage) -> None:
    stage.tenants = {ACME: ["espeak"]}
    controller = controller_on(stage)
    async with leading(controller):
        await asyncio.sleep(10)
        controller.tenant_changed(BETA, [])
        controller.child_changed(BETA)
        await asyncio.sleep(1)

    def count(lane: str) -> float | None:
        return stage.metrics.registry.get_sample_value("tts_operator_queue_wait_seconds_count", {"lane": lane})

    assert (count("resync"), count("edit"), count("transition")) == (1, 1, None)
