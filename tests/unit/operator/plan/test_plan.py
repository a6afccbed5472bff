"""From what is wanted and what was observed to writes: a table, and the rules around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.operator_builders import (
    DAY,
    NOON,
    SETTINGS,
    built,
    child,
    desired,
    observe,
    planned,
    pod,
    ref,
    resolved,
    settle,
    while_refused,
)
from tests.support.resources import KEY, Object, model
from tts_operator.objects.labels import CONFIG_HASH
from tts_operator.plan.actions import Annotate, Apply, Delete, Refuse, Scale
from tts_operator.plan.plan import plan
from tts_operator.resolve.resolve import resolve
from tts_operator.snapshot.observed import Observed

NIGHT_WINDOW = {"name": "night", "start": "00:00", "end": "06:00", "minReplicas": 1, "maxReplicas": 2}
SCHEDULE = {**DAY, "windows": [NIGHT_WINDOW]}
MIDNIGHT = datetime(2026, 11, 5, 0, 0, tzinfo=UTC)
Edit = Callable[[list[Object]], object]


def converged(**spec: Any) -> list[Object]:
    """The children of a tenant of this spec once everything is written."""
    return settle(observe(**spec))


def remove(kind: str, name: str) -> Edit:
    return lambda children: children.remove(child(children, kind, name))


def replicas(count: int) -> Edit:
    return lambda children: child(children, "Deployment", "acme-espeak")["spec"].update(replicas=count)


def slept(status: str = "True") -> Edit:
    """The Deployment is at zero, and its HPA says whether that was its own doing."""

    def edit(children: list[Object]) -> None:
        replicas(0)(children)
        condition = {"type": "ScaledToZero", "status": status, "reason": "ScaledToZero", "message": "by its metric"}
        child(children, "HorizontalPodAutoscaler", "acme-espeak")["status"] = {"conditions": [condition]}

    return edit


def blind(condition: str = "ScalingActive", status: str = "False") -> Edit:
    """The HPA says whether it can act."""

    def edit(children: list[Object]) -> None:
        found = {"type": condition, "status": status, "reason": "FailedGetResourceMetric", "message": "no metrics"}
        child(children, "HorizontalPodAutoscaler", "acme-espeak")["status"] = {"conditions": [found]}

    return edit


def both(first: Edit, second: Edit) -> Edit:
    return lambda children: (first(children), second(children))


def nothing(children: list[Object]) -> None:
    pass


PLANS: dict[str, tuple[dict[str, Any], Edit, dict[str, Any], datetime, list[str]]] = {
    # the story: (spec before, what happened since, spec now, instant, the plan)
    "converged": ({}, nothing, {}, NOON, []),
    "someone deleted the HPA": (
        {},
        remove("HorizontalPodAutoscaler", "acme-espeak"),
        {},
        NOON,
        ["apply hpa/acme-espeak: missing"],
    ),
    "night begins": (
        {"schedule": SCHEDULE},
        nothing,
        {"schedule": SCHEDULE},
        MIDNIGHT,
        ["apply cm/acme-espeak-server: server.json changed", "apply hpa/acme-espeak: min 3 -> 1, max 6 -> 2"],
    ),
    "the HPA scaled within its bounds": ({"schedule": DAY}, replicas(5), {"schedule": DAY}, NOON, []),
    "suspended": (
        {"schedule": DAY},
        nothing,
        {"schedule": DAY, "suspend": True},
        NOON,
        ["scale deploy/acme-espeak to 0: suspended"],
    ),
    "still suspended": ({"schedule": DAY}, replicas(0), {"schedule": DAY, "suspend": True}, NOON, []),
    "born suspended": ({"suspend": True}, nothing, {"suspend": True}, NOON, []),
    "woken": (
        {"schedule": DAY},
        replicas(0),
        {"schedule": DAY},
        NOON,
        ["scale deploy/acme-espeak to 3: woken: nothing asks for zero"],
    ),
    "woken for the first time": (
        {"schedule": DAY, "suspend": True},
        nothing,
        {"schedule": DAY},
        NOON,
        [
            "apply deploy/acme-espeak: missing",
            "scale deploy/acme-espeak to 3: never scaled before",
            "apply hpa/acme-espeak: missing",
        ],
    ),
    "someone scaled it to zero": (
        {"schedule": DAY},
        replicas(0),
        {"schedule": DAY},
        NOON,
        ["scale deploy/acme-espeak to 3: woken: nothing asks for zero"],
    ),
    "the HPA scaled it to zero": ({"schedule": DAY}, slept(), {"schedule": DAY}, NOON, []),
    "the HPA no longer holds it at zero": (
        {"schedule": DAY},
        slept("False"),
        {"schedule": DAY},
        NOON,
        ["scale deploy/acme-espeak to 3: woken: nothing asks for zero"],
    ),
    "night begins while the HPA holds it at zero": (
        {"schedule": SCHEDULE},
        slept(),
        {"schedule": SCHEDULE},
        MIDNIGHT,
        ["apply cm/acme-espeak-server: server.json changed", "apply hpa/acme-espeak: min 3 -> 1, max 6 -> 2"],
    ),
    "somebody left more replicas than the bounds, and the HPA acts": (
        {"schedule": DAY},
        both(replicas(40), blind(status="True")),
        {"schedule": DAY},
        NOON,
        [],
    ),
    "somebody left more replicas than the bounds, and the HPA has no metrics": (
        {"schedule": DAY},
        both(replicas(40), blind()),
        {"schedule": DAY},
        NOON,
        ["scale deploy/acme-espeak to 6: beyond the bounds, and the HPA does not act"],
    ),
    "somebody left fewer, and the HPA cannot scale": (
        {"schedule": DAY},
        both(replicas(1), blind("AbleToScale")),
        {"schedule": DAY},
        NOON,
        ["scale deploy/acme-espeak to 3: beyond the bounds, and the HPA does not act"],
    ),
    "the HPA has no metrics within its bounds": (
        {"schedule": DAY},
        both(replicas(5), blind()),
        {"schedule": DAY},
        NOON,
        [],
    ),
    "a lower quota": (
        {"tier": "VIP"},
        nothing,
        {"tier": "VIP", "quota": {"requestsPerMinute": 5}},
        NOON,
        ["apply cm/acme-quota: quota.json changed"],
    ),
    "an alias": (
        {},
        nothing,
        {"voiceAliases": {"alloy": "en-us"}},
        NOON,
        ["apply cm/acme-espeak-server: server.json changed"],
    ),
    "refused": ({}, nothing, {"preventDeletion": True}, NOON, []),
}


@pytest.mark.parametrize(("before", "event", "now", "instant", "expected"), PLANS.values(), ids=PLANS)
def test_plan(before: dict[str, Any], event: Edit, now: dict[str, Any], instant: datetime, expected: list[str]) -> None:
    children = converged(**before)
    event(children)
    assert planned(observe(children=children, **now), instant) == expected


CONVERGING: dict[str, dict[str, Any]] = {
    "one pool": {},
    "a preset": {"schedule": {"preset": "DayNightWeekend"}},
    "replacing": {"rollout": {"strategy": "Replace"}},
    "suspended": {"suspend": True},
    "no keys": {"auth": {"modes": ["None"]}},
}


@pytest.mark.parametrize("spec", CONVERGING.values(), ids=CONVERGING)
@pytest.mark.parametrize("models", [("espeak",), ("espeak", "other"), ("espeak", "other", "third")], ids=len)
def test_after_one_plan_the_next_is_empty(models: tuple[str, ...], spec: dict[str, Any]) -> None:
    children = settle(observe(*models, **spec))
    assert planned(observe(*models, children=children, **spec)) == []


def test_a_creation_writes_what_pods_mount_before_the_pods_and_the_address_last() -> None:
    assert planned(observe("espeak", schedule=DAY)) == [
        "apply sa/acme-tts: missing",
        "apply cm/acme-quota: missing",
        "apply cm/acme-espeak-server: missing",
        "apply netpol/acme-espeak: missing",
        "apply svc/acme-espeak: missing",
        "apply svc/acme--peers: missing",
        "apply deploy/acme-espeak: missing",
        "scale deploy/acme-espeak to 3: never scaled before",
        "apply pdb/acme-espeak: missing",
        "apply hpa/acme-espeak: missing",
        "apply svc/acme: missing",
    ]


def test_a_creation_that_stopped_before_its_replicas_goes_on() -> None:
    children = converged(schedule=DAY)
    deployment = child(children, "Deployment", "acme-espeak")
    deployment["spec"]["replicas"] = 1  # as the API server defaults it
    deployment["metadata"]["generation"] = 1  # and nobody has written it since
    reading = observe(children=children, schedule=DAY)
    assert planned(reading) == ["scale deploy/acme-espeak to 3: never scaled before"]
    (write,) = actions(reading)
    assert write.owns, "whoever scales it next is named"


def test_replicas_that_somebody_set_are_left_to_the_autoscaler() -> None:
    children = converged(schedule=DAY)
    child(children, "Deployment", "acme-espeak")["spec"]["replicas"] = 1
    assert planned(observe(children=children, schedule=DAY)) == []


def actions(observed: Observed, now: datetime = NOON) -> list[Any]:
    return list(plan(built(resolve(observed, SETTINGS, now)), observed))


def test_while_a_second_autoscaler_moves_replicas_the_operator_does_not_join_in() -> None:
    children = converged(schedule=DAY)
    both(replicas(40), blind())(children)
    rival = {"metadata": {"name": "keda"}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "acme-espeak"}}}
    reading = observe(children=children, schedule=DAY)
    assert planned(replace(reading, foreign_autoscalers=[rival])) == []
    assert planned(reading) == ["scale deploy/acme-espeak to 6: beyond the bounds, and the HPA does not act"]


def test_a_scale_carries_the_version_that_was_observed() -> None:
    children = converged()
    assert actions(observe(children=children, suspend=True)) == [
        Scale(ref("Deployment", "acme-espeak"), 0, "41", "suspended")
    ]


def test_a_scale_after_an_apply_takes_the_version_that_the_apply_returns() -> None:
    changed = observe(known=[model(image="other:2")], children=converged(), suspend=True)
    scales = [action for action in actions(changed) if isinstance(action, Scale)]
    assert [scale.resource_version for scale in scales] == [None]


def test_only_the_first_apply_is_without_force() -> None:
    children = converged()
    children.remove(child(children, "Service", "acme"))
    child(children, "Service", "acme-espeak")["spec"]["selector"] = {}
    applies = [action for action in actions(observe(children=children)) if isinstance(action, Apply)]
    assert {str(action.ref): action.create for action in applies} == {"svc/acme": True, "svc/acme-espeak": False}


def test_a_name_that_is_taken_is_refused_and_the_rest_goes_on() -> None:
    foreign = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "acme", "namespace": KEY.namespace}}
    found = actions(observe(children=[foreign]))
    refusals = [action for action in found if isinstance(action, Refuse)]
    assert [(str(action.ref), action.problem.reason) for action in refusals] == [("svc/acme", "NameTaken")]
    assert len([action for action in found if isinstance(action, Apply)]) == 9


def test_what_is_left_of_a_namesake_is_waited_for() -> None:
    """The garbage collector takes it soon: nobody has to rename or delete anything."""
    children = converged()
    for owner in child(children, "Service", "acme")["metadata"]["ownerReferences"]:
        owner["uid"] = "of-a-tenant-before"
    (refusal,) = [action for action in actions(observe(children=children)) if isinstance(action, Refuse)]
    assert (str(refusal.ref), refusal.problem.reason) == ("svc/acme", "BeingCollected")


def test_an_immutable_child_with_another_entry_is_replaced_too() -> None:
    children = converged()
    child(children, "ConfigMap", "acme-quota").update(immutable=True, binaryData={"evil": "AA=="})
    assert planned(observe(children=children)) == [
        "delete cm/acme-quota: immutable: replaced",
        "apply cm/acme-quota: missing",
    ]


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret"])
def test_an_immutable_child_of_another_content_is_replaced(kind: str) -> None:
    children = settle(observe("espeak", "espeak-de"))
    name = {"ConfigMap": "acme-quota", "Secret": "acme-internal"}[kind]
    child(children, kind, name).update(immutable=True, data={"quota.json": "{}", "token": "eA=="})
    name = str(ref(kind, name))
    assert planned(observe("espeak", "espeak-de", children=children)) == [
        f"delete {name}: immutable: replaced",
        f"apply {name}: missing",
    ]


def test_an_immutable_child_of_the_right_content_is_left_alone() -> None:
    children = converged()
    child(children, "ConfigMap", "acme-quota")["immutable"] = True
    assert planned(observe(children=children)) == []


DRIFT: dict[str, tuple[Edit, list[str]]] = {
    # what happened to a child while the spec is refused, and its repair
    "nothing": (nothing, []),
    "an HPA was deleted": (
        remove("HorizontalPodAutoscaler", "acme-other"),
        ["apply hpa/acme-other: missing"],
    ),
    "a policy was opened": (
        lambda children: child(children, "NetworkPolicy", "acme-other")["spec"].update(ingress=[{}]),
        ["apply netpol/acme-other: ingress changed"],
    ),
    "limits were raised": (
        lambda children: child(children, "ConfigMap", "acme-quota")["data"].update({"quota.json": "{}"}),
        ["apply cm/acme-quota: quota.json changed"],
    ),
    "a pod template was changed": (
        lambda children: child(children, "Deployment", "acme-espeak")["spec"].update(minReadySeconds=900),
        ["apply deploy/acme-espeak: minReadySeconds 900 -> 2"],
    ),
    "the endpoint was scaled to zero": (replicas(0), ["scale deploy/acme-espeak to 3: woken: nothing asks for zero"]),
}


@pytest.mark.parametrize(("event", "expected"), DRIFT.values(), ids=DRIFT)
def test_while_a_spec_is_refused_every_child_is_kept_as_the_last_accepted_one_has_it(
    event: Edit, expected: list[str]
) -> None:
    spec: dict[str, Any] = {"schedule": SCHEDULE}
    children = settle(observe("espeak", "other", **spec))
    event(children)
    reading = while_refused(observe("espeak", "other", children=children, **spec))
    assert planned(reading) == expected


def test_while_a_spec_is_refused_the_last_accepted_one_keeps_its_clock() -> None:
    children = converged(schedule=SCHEDULE)
    reading = while_refused(observe(children=children, schedule=SCHEDULE))
    assert planned(reading) == []
    assert "apply hpa/acme-espeak: min 3 -> 1, max 6 -> 2" in planned(reading, MIDNIGHT)
    found = resolved(reading)
    assert found.next_transition is not None
    assert found.requeue_at == found.next_transition.at == MIDNIGHT


def test_what_the_operator_itself_no_longer_sets_goes_with_the_apply() -> None:
    """Removed beforehand, it would start a rollout of its own."""
    children = converged(schedule=DAY)
    deployment = child(children, "Deployment", "acme-espeak")
    deployment["spec"]["template"]["spec"]["initContainers"] = [{"name": "fetch", "image": "server:1"}]
    deployment["spec"]["minReadySeconds"] = 900
    fields: Object = {
        "f:spec": {"f:template": {"f:spec": {"f:initContainers": {'k:{"name":"fetch"}': {".": {}, "f:name": {}}}}}}
    }
    entry = {"manager": "tts-operator", "operation": "Apply", "fieldsV1": fields}
    deployment["metadata"]["managedFields"] = [entry]
    reading = observe(children=children, schedule=DAY)
    assert planned(reading) == ["apply deploy/acme-espeak: minReadySeconds 900 -> 2, initContainers no longer set"]
    # Only an apply takes along what an apply has set, and only what nobody else has set too.
    for others in ([{**entry, "operation": "Update"}], [entry, {**entry, "manager": "kubectl", "operation": "Update"}]):
        deployment["metadata"]["managedFields"] = others
        assert planned(reading)[0].startswith("remove from deploy/acme-espeak: initContainers")


def test_what_others_added_goes_first_and_by_the_version_that_was_observed() -> None:
    children = converged(schedule=DAY)
    deployment = child(children, "Deployment", "acme-espeak")
    deployment["spec"]["template"]["spec"]["containers"].append({"name": "evil", "image": "evil:1"})
    deployment["spec"]["template"]["metadata"]["labels"]["team"] = "a"
    deployment["spec"].update(minReadySeconds=900, replicas=0)
    found = actions(observe(children=children, schedule=DAY))
    assert [str(each) for each in found] == [
        "remove from deploy/acme-espeak: labels.team, containers[evil]",
        "apply deploy/acme-espeak: minReadySeconds 900 -> 2",
        "scale deploy/acme-espeak to 3: woken: nothing asks for zero",
    ]
    assert (found[0].resource_version, found[2].resource_version) == ("41", None)


UNKNOWN: dict[str, dict[str, Any]] = {
    "a field that is not supported": {"schedule": SCHEDULE, "preventDeletion": True},
    "a schedule in no zone": {"schedule": {**SCHEDULE, "timeZone": "Mars/Olympus"}},
}


@pytest.mark.parametrize("refused", [False, True], ids=["it is the stored one", "it is the last accepted one"])
@pytest.mark.parametrize("spec", UNKNOWN.values(), ids=UNKNOWN)
def test_children_of_a_spec_that_cannot_be_followed_stay_as_they_are(spec: dict[str, Any], *, refused: bool) -> None:
    """An older version of the operator may find one that a newer one accepted."""
    children = converged(schedule=SCHEDULE)
    child(children, "NetworkPolicy", "acme-espeak")["spec"]["ingress"] = [{}]
    reading = observe(children=children, **spec)
    assert planned(while_refused(reading) if refused else reading, MIDNIGHT) == []


def test_a_finalizer_that_holds_a_child_is_named() -> None:
    children = converged()
    child(children, "Service", "acme")["metadata"] |= {
        "deletionTimestamp": "2026-11-04T11:00:00Z",
        "finalizers": ["foregroundDeletion", "example.com/audit"],
    }
    (refusal,) = actions(observe(children=children))
    assert isinstance(refusal, Refuse)
    assert refusal.problem.reason == "DeletionBlocked"
    assert "metadata.finalizers holds it: example.com/audit;" in refusal.problem.message


LINGERING: dict[str, tuple[str, str, Edit, list[str]]] = {
    # what is being deleted, what happened to it: what is written, besides the report of a finalizer
    "a policy that was opened": (
        "NetworkPolicy",
        "acme-espeak",
        lambda children: child(children, "NetworkPolicy", "acme-espeak")["spec"].update(ingress=[{}]),
        ["apply netpol/acme-espeak: ingress changed, while it is being deleted"],
    ),
    "limits that were raised": (
        "ConfigMap",
        "acme-quota",
        lambda children: child(children, "ConfigMap", "acme-quota")["data"].update({"quota.json": "{}"}),
        ["apply cm/acme-quota: quota.json changed, while it is being deleted"],
    ),
    "limits that were raised and frozen": (
        "ConfigMap",
        "acme-quota",
        lambda children: child(children, "ConfigMap", "acme-quota").update(immutable=True, data={"quota.json": "{}"}),
        [],
    ),
    "an HPA with other bounds": (
        "HorizontalPodAutoscaler",
        "acme-espeak",
        lambda children: child(children, "HorizontalPodAutoscaler", "acme-espeak")["spec"].update(maxReplicas=900),
        ["apply hpa/acme-espeak: max 900 -> 6, while it is being deleted"],
    ),
    "replicas, which its controller no longer follows": ("Deployment", "acme-espeak", replicas(0), []),
    "nothing": ("Service", "acme", nothing, []),
}


@pytest.mark.parametrize(("kind", "name", "event", "expected"), LINGERING.values(), ids=LINGERING)
@pytest.mark.parametrize("finalizer", ["example.com/hold", "foregroundDeletion"])
def test_a_child_is_kept_as_desired_until_it_is_gone(
    kind: str, name: str, event: Edit, expected: list[str], finalizer: str
) -> None:
    children = converged(schedule=DAY)
    going = child(children, kind, name)
    going["metadata"] |= {"deletionTimestamp": "2026-11-04T11:00:00Z", "finalizers": [finalizer]}
    event(children)
    found = actions(observe(children=children, schedule=DAY))
    applies = [each for each in found if isinstance(each, Apply)]
    assert [str(each) for each in applies] == expected
    assert all(each.manifest.body["metadata"]["uid"] == going["metadata"]["uid"] for each in applies), "creates nothing"
    held = [each for each in found if isinstance(each, Refuse)]
    assert found == [*applies, *held], "nothing else"
    assert len(held) == (finalizer == "example.com/hold"), "the garbage collector's own finalizer is no news"


def test_a_finalizer_that_holds_a_child_of_a_namesake_is_named() -> None:
    children = converged()
    metadata = child(children, "Service", "acme")["metadata"]
    metadata |= {"deletionTimestamp": "2026-11-04T11:00:00Z", "finalizers": ["example.com/audit"]}
    metadata["ownerReferences"][0]["uid"] = "of-a-tenant-before"
    (refusal,) = actions(observe(children=children))
    assert isinstance(refusal, Refuse)
    assert refusal.problem.reason == "DeletionBlocked"


def test_a_child_that_a_deleted_tenant_orphaned_is_told_from_a_name_that_is_taken() -> None:
    children = converged()
    del child(children, "Service", "acme")["metadata"]["ownerReferences"]
    (refusal,) = actions(observe(children=children))
    assert isinstance(refusal, Refuse)
    assert refusal.problem.reason == "Orphaned"
    assert "kubectl -n team-acme delete" in refusal.problem.message


def test_pods_are_told_of_configuration_that_changed_and_only_they() -> None:
    wanted = desired(observe()).config_hashes["acme-espeak"]
    pods = [
        pod(name="knows", annotations={CONFIG_HASH: wanted}),
        pod(name="knows-not"),
        pod(name="knew", annotations={CONFIG_HASH: "0ld"}),
        pod(name="over", phase="Succeeded"),
        pod(name="stranger", pool_of="elsewhere"),
    ]
    pods.append(pod(name="going"))
    pods[-1]["metadata"]["deletionTimestamp"] = "2026-11-04T12:00:00Z"
    found = actions(observe(children=converged(), pods=pods))
    assert [(action.ref.name, action.value) for action in found if isinstance(action, Annotate)] == [
        ("knows-not", wanted),
        ("knew", wanted),
    ]
    assert str(found[-1]) == f"annotate po/knew: config 0ld -> {wanted}"


def test_pods_are_told_after_their_configuration_is_written() -> None:
    changed = observe(children=converged(), pods=[pod()], voiceAliases={"alloy": "de"})
    assert [type(action) for action in actions(changed)] == [Apply, Annotate]


def test_a_model_no_longer_wanted_goes_last_and_by_its_uid() -> None:
    before = settle(observe("espeak", "other"))
    children = settle(observe("espeak", children=before))
    found = actions(observe("espeak", children=children), NOON + timedelta(seconds=5))
    deletes = [action for action in found if isinstance(action, Delete)]
    assert found[-len(deletes) :] == deletes
    assert sorted(str(action.ref) for action in deletes) == [
        "cm/acme-other-server",
        "deploy/acme-other",
        "hpa/acme-other",
        "netpol/acme-other",
        "pdb/acme-other",
        "secret/acme-internal",
        "svc/acme-other",
    ]
    assert {action.uid for action in deletes} == {f"uid-of-{action.ref}" for action in deletes}


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {"ttsfleet.io/tenant": "acme"}},
        {"ownerReferences": []},
        {"deletionTimestamp": "2026-11-04T12:00:00Z"},
    ],
    ids=["not our labels", "not our owner", "already going"],
)
def test_what_is_not_surely_ours_is_not_deleted(metadata: dict[str, Any]) -> None:
    children = converged()
    stray = {**child(children, "ConfigMap", "acme-quota"), "data": {}}
    stray["metadata"] = {**stray["metadata"], "name": "stray", **metadata}
    assert planned(observe(children=[*children, stray])) == []


def test_a_paused_deployment_is_resumed_and_one_that_is_not_needs_no_write() -> None:
    children = settle(observe())
    deployment = child(children, "Deployment", "acme-espeak")
    del deployment["spec"]["paused"]  # the API server does not return false
    assert planned(observe(children=children)) == []
    deployment["spec"]["paused"] = True
    assert planned(observe(children=children)) == ["apply deploy/acme-espeak: paused True -> False"]
