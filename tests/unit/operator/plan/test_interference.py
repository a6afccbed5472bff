"""Whoever undoes the operator's writes again and again is named, and the operator does not write for ever."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.support.operator_builders import NOON, built, child, live, observe, owned, ref, resolved, settle
from tests.support.resources import KEY, Object
from tts_operator.objects.manifest import Ref
from tts_operator.plan.actions import Action, Annotate, Apply, Delete, Remove, Scale
from tts_operator.plan.interference import (
    BINDING,
    LONGEST_PAUSE,
    QUIET_TIME,
    REPEATS,
    REWRITE_PAUSE,
    InterferenceRecord,
)
from tts_operator.plan.outcome import Interference, Outcome
from tts_operator.plan.plan import leftovers, plan

SECOND = timedelta(seconds=1)
BOUNDS = {"default": {"minReplicas": 2, "maxReplicas": 4}}
DEPLOYMENT, HPA = ref("Deployment", "acme-espeak"), ref("HorizontalPodAutoscaler", "acme-espeak")


def unchanged(_: Object) -> None:
    """Admission that stores what it is sent."""


@dataclass
class World:
    """The children of one tenant, and an API server that changes what is applied as `admission` does."""

    models: tuple[str, ...] = ("espeak",)
    spec: Object = field(default_factory=lambda: {"schedule": BOUNDS})
    admission: Callable[[Object], None] = unchanged
    now: datetime = NOON
    record: InterferenceRecord = field(default_factory=InterferenceRecord)
    children: dict[Ref, Object] = field(default_factory=dict)
    written: list[Action] = field(default_factory=list)
    outcome: Outcome = field(default_factory=Outcome)

    def __post_init__(self) -> None:
        for each in settle(observe(*self.models, **self.spec)):
            kind = ref(each["kind"], each["metadata"]["name"])
            self.children[kind] = each

    def reconcile(self) -> list[Action]:
        """One reconcile. Returns its writes."""
        observed = observe(*self.models, children=self.children.values(), **self.spec)
        admitted = self.record.admit(plan(built(resolved(observed, self.now)), observed), observed, self.now)
        applied: dict[Ref, Object] = {}
        scaled: set[Ref] = set()
        for action in admitted.actions:
            match action:
                case Apply():
                    before = self.children.get(action.ref, {})
                    stored = live(action.manifest, at=self.now)
                    if "replicas" in before.get("spec", {}):
                        stored["spec"]["replicas"] = before["spec"]["replicas"]
                    stored["metadata"]["generation"] = before.get("metadata", {}).get("generation", 1) + 1
                    self.admission(stored)
                    applied[action.ref] = self.children[action.ref] = stored
                case Scale():
                    scaled.add(action.ref)
                    self.children[action.ref]["spec"]["replicas"] = action.replicas
                    self.children[action.ref]["metadata"]["generation"] += 1
                case Delete():
                    del self.children[action.ref]
                case Remove():
                    without = live(action.manifest, at=self.now)
                    without["spec"].setdefault("replicas", self.children[action.ref]["spec"].get("replicas", 1))
                    self.admission(without)
                    applied[action.ref] = self.children[action.ref] = without
                case _:
                    pass
        self.written += admitted.actions
        self.outcome = self.record.record(
            admitted, observed, Outcome(applied=applied, scaled=frozenset(scaled)), self.now
        )
        return admitted.actions

    def changes(self, kind: str, name: str, change: Callable[[Object], None], manager: str = "kubectl-edit") -> None:
        """Another program changes a child, and owns a field of it from then on."""
        body = child(self.children.values(), kind, name)
        before = copy.deepcopy(body)
        change(body)
        body["metadata"]["generation"] += 1
        taken = owned(differences(before, body), ())
        entries = [each for each in body["metadata"]["managedFields"] if each["manager"] != manager]
        body["metadata"]["managedFields"] = [*entries, {"manager": manager, "operation": "Update", "fieldsV1": taken}]

    def fights(self, times: int, act: Callable[[], object], step: timedelta = SECOND) -> int:
        """The other program acts so many times, each time before the operator reconciles. Returns the writes."""
        before = len(self.written)
        for _ in range(times):
            act()
            self.reconcile()
            self.now += step
        return len(self.written) - before

    @property
    def found(self) -> list[tuple[str, str]]:
        return [(str(each.ref), each.problem.reason) for each in self.outcome.interference]

    @property
    def message(self) -> str:
        (only,) = self.outcome.interference
        return only.message


def differences(before: Any, after: Any) -> Any:
    """Reduce an object to what changed in it."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return after
    return {name: differences(before.get(name), value) for name, value in after.items() if before.get(name) != value}


def set_to(*path: str, value: Any) -> Callable[[Object], None]:
    def change(body: Object) -> None:
        for name in path[:-1]:
            body = body.setdefault(name, {})
        body[path[-1]] = value

    return change


FIGHTS: dict[str, tuple[str, str, Callable[[Object], None], str, str, str]] = {
    # who changes what: kind, name, change, the field manager, the reason, a part of the message
    "the HPA's maximum": (
        "HorizontalPodAutoscaler",
        "acme-espeak",
        set_to("spec", "maxReplicas", value=9),
        "kubectl-patch",
        "FieldContested",
        "field manager kubectl-patch keeps changing spec.maxReplicas (the operator sets 4)",
    ),
    "a paused rollout": (
        "Deployment",
        "acme-espeak",
        set_to("spec", "paused", value=True),
        "kubectl-rollout",
        "FieldContested",
        "field manager kubectl-rollout keeps changing spec.paused (the operator sets False)",
    ),
    "a label": (
        "ServiceAccount",
        "acme-tts",
        set_to("metadata", "labels", "app.kubernetes.io/name", value="mine"),
        "helm",
        "FieldContested",
        "field manager helm keeps changing metadata.labels.app.kubernetes.io/name (the operator sets tts-server)",
    ),
    "a ConfigMap": (
        "ConfigMap",
        "acme-quota",
        set_to("data", "quota.json", value="{}"),
        "argocd-controller",
        "FieldContested",
        "field manager argocd-controller keeps changing data.quota.json: stop it",
    ),
    "replicas set to zero": (
        "Deployment",
        "acme-espeak",
        set_to("spec", "replicas", value=0),
        "kube-downscaler",
        "ReplicasContested",
        "field manager kube-downscaler keeps scaling it",
    ),
}


@pytest.mark.parametrize(("kind", "name", "change", "manager", "reason", "message"), FIGHTS.values(), ids=FIGHTS)
def test_a_fight_is_named_and_does_not_go_on_for_ever(
    kind: str, name: str, change: Callable[[Object], None], manager: str, reason: str, message: str
) -> None:
    world = World()
    writes = world.fights(24, lambda: world.changes(kind, name, change, manager), 5 * SECOND)
    assert world.found == [(str(ref(kind, name)), reason)]
    assert message in world.message
    if kind in BINDING:
        assert writes == 24, "what binds a team is corrected each time"
    else:
        assert REPEATS <= writes <= REPEATS + 4, "after pauses of 10, 20, 40 and 60 seconds"
    said = {each.message for each in world.outcome.interference}
    world.fights(14, lambda: world.changes(kind, name, change, manager), 5 * SECOND)
    assert len(world.written) <= (38 if kind in BINDING else writes + 2)
    assert {each.message for each in world.outcome.interference} == said, "the message does not change each time"


def test_a_fight_that_ends_is_corrected_within_a_minute_and_forgotten_after_ten() -> None:
    world = World()

    def raised() -> None:
        world.changes("HorizontalPodAutoscaler", HPA.name, set_to("spec", "maxReplicas", value=9))

    world.fights(10, raised, 10 * SECOND)
    world.fights(2, lambda: None, LONGEST_PAUSE)
    assert world.children[HPA]["spec"]["maxReplicas"] == 4
    assert world.found, "it was contested a moment ago"
    assert world.outcome.requeue_at is not None
    assert world.outcome.requeue_at <= world.now + QUIET_TIME
    world.now += QUIET_TIME
    assert world.reconcile() == []
    assert world.found == []
    assert world.outcome.requeue_at is None


def test_a_pause_ends_by_itself() -> None:
    world = World()
    world.fights(6, lambda: world.changes("Deployment", DEPLOYMENT.name, set_to("spec", "paused", value=True)))
    assert world.reconcile() == []
    assert world.outcome.requeue_at is not None
    world.now = world.outcome.requeue_at
    assert [str(each).partition(":")[0] for each in world.reconcile()] == ["apply deploy/acme-espeak"]


@pytest.mark.parametrize(
    ("field", "repair"),
    [("minReadySeconds", "minReadySeconds 900 -> 2"), ("revisionHistoryLimit", "revisionHistoryLimit 900 -> 3")],
)
def test_another_change_of_a_contested_child_is_corrected_at_once(field: str, repair: str) -> None:
    world = World()

    def paused() -> None:
        world.changes("Deployment", DEPLOYMENT.name, set_to("spec", "paused", value=True))

    world.fights(6, paused)
    paused()
    assert world.reconcile() == [], "the pause"
    world.changes("Deployment", DEPLOYMENT.name, set_to("spec", field, value=900), "somebody-else")
    (written,) = world.reconcile()
    assert repair in str(written)


def test_the_schedule_goes_on_in_a_fight() -> None:
    """A value that the operator itself wants to change is written at once."""
    world = World()
    world.fights(6, lambda: world.changes("HorizontalPodAutoscaler", HPA.name, set_to("spec", "maxReplicas", value=9)))
    world.reconcile()
    world.spec = {"schedule": {"default": {"minReplicas": 1, "maxReplicas": 2}}}
    written = [str(each) for each in world.reconcile()]
    assert any(each.startswith("apply hpa/acme-espeak: ") for each in written)
    assert world.children[HPA]["spec"]["maxReplicas"] == 2


def test_a_single_correction_and_one_each_quarter_of_an_hour_are_no_fight() -> None:
    world = World()
    for _ in range(5):
        world.changes("HorizontalPodAutoscaler", HPA.name, set_to("spec", "maxReplicas", value=9))
        assert world.reconcile()
        world.now += timedelta(minutes=15)
    assert world.found == []


def test_changes_of_the_spec_are_no_fight() -> None:
    world = World()
    for turn in range(8):
        world.spec = {
            "suspend": turn % 2 == 0,
            "schedule": {"default": {"minReplicas": 1, "maxReplicas": 2 + turn % 3}},
        }
        world.reconcile()
        world.reconcile()
        world.now += SECOND
    assert world.found == []


def test_a_child_that_is_deleted_again_and_again() -> None:
    world = World()
    account = ref("ServiceAccount", "acme-tts")
    writes = world.fights(20, lambda: world.children.pop(account, None))
    assert world.found == [("sa/acme-tts", "DeletedRepeatedly")]
    assert "audit log" in world.message
    assert writes <= REPEATS + 1


def test_a_namesake_of_a_deleted_tenant_begins_anew() -> None:
    world = World()
    world.fights(20, lambda: world.children.pop(ref("ServiceAccount", "acme-tts"), None))
    assert world.found
    observed = observe(*world.models, children=world.children.values(), **world.spec)
    assert observed.body is not None
    body = {**observed.body, "metadata": {**observed.body["metadata"], "uid": "of-the-namesake"}}
    namesake = replace(observed, body=body)
    outcome = world.record.record(world.record.admit([], namesake, world.now), namesake, Outcome(), world.now)
    assert outcome.interference == ()


def test_a_child_that_is_made_immutable_again_and_again() -> None:
    world = World()

    def frozen(body: Object) -> None:
        body.update(immutable=True, data={"quota.json": "{}"})

    world.fights(10, lambda: world.changes("ConfigMap", "acme-quota", frozen))
    assert world.found == [("cm/acme-quota", "FieldContested")]
    assert "keeps changing immutable" in world.message
    assert len([each for each in world.written if isinstance(each, Delete)]) == 10, "limits are restored each time"


def test_replicas_beyond_the_bounds_are_told_though_the_hpa_corrects_them() -> None:
    world = World()

    def scaled() -> None:
        world.changes("Deployment", DEPLOYMENT.name, set_to("spec", "replicas", value=9), "keda-operator")

    def corrected() -> None:
        world.changes("Deployment", DEPLOYMENT.name, set_to("spec", "replicas", value=4), "kube-controller-manager")

    for _ in range(4):
        world.fights(1, scaled)
        world.fights(1, corrected)
    assert world.found == [("deploy/acme-espeak", "ReplicasContested")]
    assert "field manager keda-operator keeps scaling it" in world.message
    assert world.written == [], "they are the HPA's"


def test_replicas_within_the_bounds_are_nobodys_fight() -> None:
    world = World()
    numbers = iter([2, 3, 4] * 3)
    world.fights(
        9, lambda: world.changes("Deployment", DEPLOYMENT.name, set_to("spec", "replicas", value=next(numbers)))
    )
    assert world.found == []


def mirrored(body: Object) -> None:
    """A policy that lets every image come from a mirror."""
    if body["kind"] == "Deployment":
        (container,) = body["spec"]["template"]["spec"]["containers"]
        container["image"] = "mirror.example/tts-server:1"


def test_what_admission_rewrites_is_named_at_once_and_written_no_more() -> None:
    world = World(admission=mirrored)
    world.changes("Deployment", DEPLOYMENT.name, set_to("spec", "paused", value=True))
    assert world.reconcile()
    assert world.found == [("deploy/acme-espeak", "RewrittenByAdmission")]
    assert (
        "spec.template.spec.containers[tts-server].image is stored as mirror.example/tts-server:1, and the operator"
        " sets registry.example/tts-server:1: a mutating admission policy or webhook" in world.message
    )
    world.now += SECOND
    world.reconcile()  # the annotation of the rollout that caused it goes
    settled = len(world.written)
    assert world.fights(10, lambda: None, 10 * SECOND) == 0
    assert len(world.written) == settled
    assert world.found == [("deploy/acme-espeak", "RewrittenByAdmission")]


def test_pods_are_not_told_of_a_configuration_that_is_held_back() -> None:
    def emptied(body: Object) -> None:
        """A policy that changes every quota."""
        if body["metadata"]["name"] == "acme-quota":
            body["data"]["quota.json"] = "{}"

    world = World(admission=emptied)
    world.changes("ConfigMap", "acme-quota", set_to("data", "quota.json", value=""))
    world.fights(2, lambda: None)
    assert world.found == [("cm/acme-quota", "RewrittenByAdmission")]
    observed = observe(children=world.children.values(), **world.spec)
    actions = plan(built(resolved(observed, world.now)), observed)
    told = Annotate(ref("Pod", "acme-espeak-1"), "ttsfleet.io/config-hash", "2", "config 1 -> 2")
    assert world.record.admit([*actions, told], observed, world.now).actions == []


def test_what_admission_rewrites_is_tried_again_later_and_when_somebody_changes_it() -> None:
    world = World(admission=mirrored)
    world.changes("Deployment", DEPLOYMENT.name, set_to("spec", "paused", value=True))
    world.fights(5, lambda: None)
    world.changes("Deployment", DEPLOYMENT.name, set_to("spec", "minReadySeconds", value=0))
    assert world.reconcile(), "that is not what admission did"
    assert world.reconcile() == []
    world.admission = unchanged
    assert world.outcome.requeue_at is not None
    assert world.outcome.requeue_at <= world.now + REWRITE_PAUSE
    world.now += REWRITE_PAUSE
    assert world.reconcile()
    assert world.found == []
    assert world.reconcile() == []


def test_the_value_of_a_secret_is_in_no_message() -> None:
    world = World(models=("espeak", "large"))
    secret = next(each for each in world.children if each.kind == "Secret")

    def blanked(body: Object) -> None:
        body["data"] = dict.fromkeys(body["data"], "eHh4")

    world.fights(6, lambda: world.changes("Secret", secret.name, blanked))
    assert [reason for _, reason in world.found] == ["FieldContested"]
    assert "operator sets" not in world.message
    assert "eHh4" not in world.message


def test_a_tenant_that_is_gone_is_forgotten() -> None:
    world = World()

    def raised() -> None:
        world.changes("Deployment", DEPLOYMENT.name, set_to("spec", "paused", value=True))

    world.fights(6, raised)
    raised()
    assert world.reconcile() == []
    world.record.forget(KEY)
    assert world.reconcile()


def test_a_leftover_that_a_finalizer_holds_is_named_with_who_set_it() -> None:
    world = World()
    old = copy.deepcopy(world.children[ref("Service", "acme-espeak")])
    old["metadata"] |= {
        "name": "acme-gone",
        "deletionTimestamp": "2026-11-04T11:00:00Z",
        "finalizers": ["example.com/hold", "foregroundDeletion"],
        "managedFields": [
            {"manager": "hold-controller", "fieldsV1": {"f:metadata": {"f:finalizers": {'v:"example.com/hold"': {}}}}}
        ],
    }
    observed = observe(children=[*world.children.values(), old], **world.spec)
    desired = built(resolved(observed))
    assert desired is not None
    (found,) = leftovers(desired, observed)
    assert isinstance(found, Interference)
    assert found.message == (
        "svc/acme-gone: is being deleted, and metadata.finalizers holds it: example.com/hold (set by field manager"
        " hold-controller); the program that set it must remove it"
    )


def test_whoever_scales_without_a_trace_leaves_one_the_next_time() -> None:
    """The API server records a write through /scale only where somebody owned the replicas before."""
    world = World()
    for _ in range(2):
        world.children[DEPLOYMENT]["spec"]["replicas"] = 0
        world.reconcile()
    first, second = (each for each in world.written if isinstance(each, Scale))
    assert (first.owns, second.owns) == (False, True)
    world.changes("Deployment", DEPLOYMENT.name, set_to("spec", "replicas", value=0), "night-scaler")
    world.reconcile()
    assert world.message.startswith("deploy/acme-espeak: field manager night-scaler keeps scaling it")


def test_the_first_write_of_replicas_makes_them_the_operators() -> None:
    """Also where it follows in a later reconcile than the creation: the first one has lost a race."""
    world = World()
    deployment = world.children[DEPLOYMENT]
    deployment["spec"]["replicas"], deployment["metadata"]["generation"] = 1, 1
    (write,) = world.reconcile()
    assert isinstance(write, Scale)
    assert write.owns


def test_writes_that_lose_a_race_are_no_fight() -> None:
    """The Deployment controller changes its status all the time: only replicas that were written can be undone."""
    world = World()
    world.children[DEPLOYMENT]["spec"]["replicas"] = 0
    observed = observe(children=world.children.values(), **world.spec)
    for _ in range(5):
        admitted = world.record.admit(plan(built(resolved(observed)), observed), observed, NOON)
        assert [str(each) for each in admitted.actions] == [
            "scale deploy/acme-espeak to 2: woken: nothing asks for zero"
        ]
        assert world.record.record(admitted, observed, Outcome(stale=True), NOON).interference == ()


def sidecar(body: Object) -> None:
    body["spec"]["template"]["spec"]["containers"].append({"name": "agent", "image": "agent:1"})


def test_who_adds_a_container_again_and_again_is_named_and_the_operator_pauses() -> None:
    world = World()
    writes = world.fights(20, lambda: world.changes("Deployment", "acme-espeak", sidecar, manager="injector"))
    assert REPEATS <= writes <= REPEATS + 2
    assert world.found == [("deploy/acme-espeak", "FieldContested")]
    assert "field manager injector keeps changing spec.template.spec.containers[agent]" in world.message


def test_what_a_webhook_adds_to_every_write_is_told_by_the_first_and_left_alone() -> None:
    world = World(admission=sidecar)
    world.changes("Deployment", "acme-espeak", sidecar)
    assert [str(each) for each in world.reconcile()] == [
        "remove from deploy/acme-espeak: containers[agent]",
    ]
    assert world.found == [("deploy/acme-espeak", "RewrittenByAdmission")]
    assert "spec.template.spec.containers[agent] is added again: a mutating admission policy" in world.message
    assert world.fights(10, lambda: None) == 0
    world.now += REWRITE_PAUSE
    assert len(world.reconcile()) == 1


def test_an_addition_and_a_change_of_one_child_are_held_back_each_by_itself() -> None:
    world = World(admission=sidecar)
    world.changes("Deployment", "acme-espeak", sidecar)
    world.reconcile()
    world.changes("Deployment", "acme-espeak", lambda body: body["spec"].update(minReadySeconds=900))
    assert [str(each) for each in world.reconcile()] == ["apply deploy/acme-espeak: minReadySeconds 900 -> 2"]


def test_a_scale_that_would_follow_a_removal_goes_alone_while_that_is_held_back() -> None:
    world = World(admission=sidecar)
    world.changes("Deployment", "acme-espeak", sidecar)
    world.reconcile()
    world.children[DEPLOYMENT]["spec"]["replicas"] = 0
    (scale,) = world.reconcile()
    assert isinstance(scale, Scale)
    assert scale.resource_version == world.children[DEPLOYMENT]["metadata"]["resourceVersion"]
