"""How many tenants roll at once because of something that is not theirs, and when nobody does."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.operator_builders import (
    NOON,
    SETTINGS,
    built,
    changes,
    child,
    container,
    observe,
    planned,
    pod,
    resolved,
    settle,
    unschedulable,
)
from tests.support.resources import KEY, UID, Object, model, precision
from tts_operator.objects.keys import Key
from tts_operator.objects.labels import ROLLOUT
from tts_operator.objects.manifest import ref_of
from tts_operator.objects.problem import Problem
from tts_operator.plan.outcome import Outcome
from tts_operator.resolve.resolve import resolve
from tts_operator.rollout.limiter import PLACE_SECONDS, RolloutLimiter
from tts_operator.rollout.policy import (
    PoolKey,
    Roll,
    Sources,
    change_cause,
    finished,
    pods_fail,
    pods_unschedulable,
    pool_key,
    roll,
)
from tts_operator.rollout.situation import (
    FAILURE_NAMESPACES,
    HALTED,
    MAX_CONCURRENT_TENANTS,
    PAUSED,
    WAITING,
    Limits,
    Mode,
    Situation,
)
from tts_operator.status.tenant import status

OLD, NEW = "model/espeak/old", "model/espeak/new"


def key(number: int) -> Key:
    return Key(f"team-{number}", "acme")


def rolls(count: int, change: str = NEW, *, failed: int = 0, first: int = 0) -> list[Roll]:
    """So many tenants on their way, of which the first ones fail."""
    return [Roll(key(first + each), "acme-espeak", change, failed=each < failed) for each in range(count)]


def of_team(*names: str, failed: bool = False, change: str = NEW) -> list[Roll]:
    """Tenants of one namespace on their way."""
    return [Roll(Key("team", name), "pool", change, failed=failed) for name in names]


def blocked_reason(who: Key, change: str, present: list[Roll], mode: Mode = Mode.AUTO) -> Problem | None:
    return Situation(present, Limits()).blocked_reason(who, change, mode)


ASKED: dict[str, tuple[Key, list[Roll], str | None]] = {
    "nobody rolls": (key(9), [], None),
    "four do": (key(9), rolls(4), None),
    "five do": (key(9), rolls(5), WAITING),
    "five of another model": (key(9), rolls(5, "model/large/new"), WAITING),
    "one of them": (key(3), rolls(5), None),
    "one of them, for a change before": (key(3), rolls(5, OLD), None),
    "one fails": (key(9), rolls(2, failed=1), None),
    "one fails of five, and gives its place back": (key(9), rolls(5, failed=1), None),
    "five are stalled": (key(9), [replace(each, stalled=True) for each in rolls(5)], None),
    "three of its own namespace do": (Key("team", "d"), of_team("a", "b", "c"), WAITING),
    "two of its own namespace do": (Key("team", "c"), of_team("a", "b"), None),
    "three of another namespace do": (key(9), of_team("a", "b", "c"), None),
    "three of its own namespace are stalled": (
        Key("team", "d"),
        [replace(each, stalled=True) for each in of_team("a", "b", "c")],
        WAITING,
    ),
    "three of its own namespace are stalled with another change": (
        Key("team", "d"),
        [replace(each, stalled=True) for each in of_team("a", "b", "c", change=OLD)],
        None,
    ),
    "three of its own namespace are overdue": (
        Key("team", "d"),
        [replace(each, stalled=True, overdue=True) for each in of_team("a", "b", "c")],
        None,
    ),
    "three of its own namespace, of which it is one": (Key("team", "c"), of_team("a", "b", "c"), None),
    "two fail in another namespace": (key(9), of_team("a", "b", failed=True), None),
    "five fail in another namespace": (key(9), of_team("a", "b", "c", "d", "e", failed=True), None),
    "two fail in its own namespace": (Key("team", "c"), of_team("a", "b", failed=True), HALTED),
    "one fails in its own namespace": (Key("team", "c"), of_team("a", failed=True), None),
    "one fails here and one there": (Key("team", "c"), [*of_team("a", failed=True), *rolls(1, failed=1)], HALTED),
    "two fail": (key(9), rolls(3, failed=2), HALTED),
    "two fail, and one of the others goes on": (key(2), rolls(3, failed=2), HALTED),
    "two fail with a change before": (key(9), rolls(2, OLD, failed=2), None),
    "five fail with a change before": (key(9), rolls(5, OLD, failed=5), None),
    "two fail with another model's": (key(9), rolls(2, "model/large/new", failed=2), None),
    "two pools of one tenant fail": (
        key(9),
        [Roll(key(1), "acme-espeak", NEW, True), Roll(key(1), "acme-other", NEW, True)],
        None,
    ),
}


@pytest.mark.parametrize(("who", "present", "reason"), ASKED.values(), ids=ASKED)
def test_whose_turn_it_is(who: Key, present: list[Roll], reason: str | None) -> None:
    found = blocked_reason(who, NEW, present)
    assert (found and found.reason) == reason


@pytest.mark.parametrize(("who", "present", "reason"), ASKED.values(), ids=ASKED)
def test_no_answer_names_another_team(who: Key, present: list[Roll], reason: str | None) -> None:
    """It is in the condition of a tenant, which its team reads."""
    found = blocked_reason(who, NEW, present)
    message = found.message if found else ""
    assert (message != "") == (reason is not None)
    others = {each.key.namespace for each in present} - {who.namespace}
    assert [name for name in others if name in message] == []


MODES: dict[str, tuple[Mode, list[Roll], str | None]] = {
    "paused, and nobody rolls": (Mode.PAUSED, [], PAUSED),
    "paused, and two fail": (Mode.PAUSED, rolls(2, failed=2), PAUSED),
    "failures are ignored": (Mode.IGNORE_FAILURES, rolls(2, failed=2), None),
    "failures of its own namespace are ignored": (Mode.IGNORE_FAILURES, of_team("a", "b", failed=True), None),
    "all failures of its own namespace are ignored": (
        Mode.IGNORE_FAILURES,
        of_team("a", "b", "c", "d", failed=True),
        None,
    ),
    "failures are ignored, and five roll": (Mode.IGNORE_FAILURES, [*rolls(5), *rolls(2, failed=2, first=5)], WAITING),
    "unlimited, and five roll": (Mode.UNLIMITED, rolls(5), None),
    "unlimited, and two fail": (Mode.UNLIMITED, rolls(5, failed=5), None),
}


@pytest.mark.parametrize(("mode", "present", "reason"), MODES.values(), ids=MODES)
def test_what_the_platform_team_decides(mode: Mode, present: list[Roll], reason: str | None) -> None:
    found = blocked_reason(Key("team", "z"), NEW, present, mode)
    assert (found and found.reason) == reason


@pytest.mark.parametrize(("places", "share"), [(1, 1), (2, 1), (3, 2), (5, 3), (10, 5)])
def test_one_namespace_has_half_of_the_places(places: int, share: int) -> None:
    present: list[Roll] = []
    for number in range(places + 1):
        who = Key("team", f"t{number}")
        if Situation(present, Limits(concurrent_tenants=places)).blocked_reason(who, NEW) is None:
            present.append(Roll(who, "pool", NEW))
    assert len(present) == share


def test_a_halt_tells_a_tenant_the_change_and_nothing_of_other_teams() -> None:
    present = [*rolls(3, failed=3), *rolls(2, "operator//new", failed=2)]
    found = blocked_reason(key(9), NEW, present)
    assert found == Problem(
        HALTED,
        "Rollout paused: the change of TTSModel espeak failed in 3 namespaces. It resumes when one of them becomes"
        " ready or the change is fixed.",
    )
    of_the_operator = blocked_reason(key(9), "operator//new", present)
    assert of_the_operator is not None
    assert "the change of the operator failed in 2 namespaces" in of_the_operator.message
    own = blocked_reason(Key("team", "c"), NEW, [*of_team("a", "b", failed=True), *rolls(1, failed=1)])
    assert own is not None
    assert "failed on 2 tenants of this namespace, such as a and b." in own.message
    assert "team-0" not in own.message


def test_a_halt_tells_the_platform_team_who_fails() -> None:
    found = Situation([*of_team("a", "b", failed=True), *rolls(1, failed=1)], Limits()).halt(NEW)
    assert found is not None
    assert found.message.startswith(
        "Rollout paused: the change of TTSModel espeak failed on 3 tenants, such as team-0/acme and team/a."
    )
    assert "ttsfleet.io/rollout-mode=IgnoreFailures" in found.message
    assert Situation(of_team("a", "b", failed=True), Limits()).halt(NEW) is None
    assert Situation(of_team("a", failed=True), Limits(failure_namespaces=1)).halt(NEW) is not None


HERE = Sources("t", "m", "o")
CAUSES: dict[str, tuple[Sources | None, Sources, str]] = {
    "the model": (HERE, HERE._replace(model="x"), "model/espeak/x"),
    "the operator": (HERE, HERE._replace(operator="x"), "operator//x"),
    "the tenant": (HERE, HERE._replace(tenant="x"), ""),
    "the tenant, while the model waits": (HERE, Sources("x", "x", "o"), ""),
    "someone's edit": (HERE, HERE, ""),
    "an older operator's Deployment": (None, HERE, "operator//o"),
}


@pytest.mark.parametrize(("before", "after", "expected"), CAUSES.values(), ids=CAUSES)
def test_whose_change_it_is(before: Sources | None, after: Sources, expected: str) -> None:
    assert change_cause(before, after, "espeak") == expected


def controller(tenant: Key) -> Object:
    return {
        "apiVersion": "ttsfleet.io/v1alpha1",
        "kind": "TTSTenant",
        "name": tenant.name,
        "uid": UID,
        "controller": True,
    }


def deployment(change: str = NEW, *, version: int = 1, tenant: Key = KEY, **status: Any) -> Object:
    return {
        "metadata": {
            "name": "acme-espeak",
            "namespace": tenant.namespace,
            "labels": {"ttsfleet.io/tenant": tenant.name},
            "ownerReferences": [controller(tenant)],
            "annotations": {ROLLOUT: change},
            "generation": 2,
            "resourceVersion": str(version),
        },
        "spec": {"replicas": 2},
        "status": {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, **status},
    }


def progressing(reason: str, holds: str = "True") -> list[Object]:
    return [{"type": "Progressing", "status": holds, "reason": reason}]


ENDS: dict[str, tuple[Object, bool]] = {
    "as its controller says": (deployment(conditions=progressing("NewReplicaSetAvailable")), True),
    "a pod died since": (deployment(conditions=progressing("NewReplicaSetAvailable"), availableReplicas=1), True),
    "back to pods of before": (deployment(conditions=progressing("NewReplicaSetAvailable"), replicas=3), False),
    "under way": (deployment(conditions=progressing("ReplicaSetUpdated")), False),
    "not seen yet": (deployment(conditions=progressing("NewReplicaSetAvailable"), observedGeneration=1), False),
    "nothing is said and all answer": (deployment(), True),
    "nothing is said and one does not": (deployment(availableReplicas=1), False),
}


@pytest.mark.parametrize(("found", "expected"), ENDS.values(), ids=ENDS)
def test_a_rollout_ends(found: Object, expected: bool) -> None:
    assert finished(found) is expected
    assert (roll(found) is None) is expected


def test_a_rollout_that_takes_too_long_has_failed() -> None:
    found = roll(deployment(conditions=progressing("ProgressDeadlineExceeded", "False")))
    assert found is not None
    assert found.failed


STALLS: dict[str, tuple[Object, bool, bool]] = {
    # the rollout, whether a pod finds no node, whether it gives its place back
    "under way": (deployment(updatedReplicas=0), False, False),
    "a pod finds no node": (deployment(updatedReplicas=0), True, True),
    "no node, for very long": (deployment(conditions=progressing("ProgressDeadlineExceeded", "False")), True, True),
    "someone paused it": ({**deployment(updatedReplicas=0), "spec": {"replicas": 2, "paused": True}}, False, True),
    "the ResourceQuota is full": (
        deployment(
            updatedReplicas=0,
            conditions=[
                {"type": "ReplicaFailure", "status": "True", "message": 'pods "x" is forbidden: exceeded quota: q'},
                *progressing("ProgressDeadlineExceeded", "False"),
            ],
        ),
        False,
        True,
    ),
}


@pytest.mark.parametrize(("found", "no_room", "stalled"), STALLS.values(), ids=STALLS)
def test_what_stalls_in_its_namespace_holds_no_place_and_has_not_failed(
    found: Object, no_room: bool, stalled: bool
) -> None:
    rolling = roll(found, no_room=no_room)
    assert rolling is not None
    assert (rolling.holds_place, rolling.failed) == (not stalled, False)
    stuck = roll(found, stuck=True, no_room=no_room)
    assert stuck is not None
    assert stuck.failed, "pods that cannot run speak against the change, whatever else is wrong"


def of_acme(**spec: Any) -> Any:
    """A tenant that has served for long; then its model's spec is this."""
    before = settle(observe(), NOON - timedelta(hours=1))
    return observe(known=[model(**spec)], children=before)


def test_a_models_change_is_taken_in_turn() -> None:
    (change,) = changes(resolved(of_acme(image="new:2"))).values()
    assert change.startswith("model/espeak/")
    after = settle(of_acme(image="new:2"))
    assert child(after, "Deployment", "acme-espeak")["metadata"]["annotations"][ROLLOUT] == change
    assert changes(resolved(observe(known=[model(image="new:2")], children=after))) == {}
    (last,) = planned(observe(known=[model(image="new:2")], children=after))
    assert last.startswith("apply cm/acme-espeak-server"), "the sound has a name again, which it keeps"
    at_rest = settle(observe(known=[model(image="new:2")], children=after))
    assert planned(observe(known=[model(image="new:2")], children=at_rest)) == []


def test_the_operators_change_is_taken_in_turn() -> None:
    observed = of_acme()
    found = resolve(observed, replace(SETTINGS, server_image="registry.example/tts-server:2"), NOON)
    assert [change.split("/")[0] for change in changes(found).values()] == ["operator"]


def test_what_an_older_operator_made_is_taken_in_turn() -> None:
    observed = of_acme(image="new:2")
    children = copy.deepcopy([dict(each) for each in observed.children.values()])
    del child(children, "Deployment", "acme-espeak")["metadata"]["annotations"]
    found = resolved(observe(known=[model(image="new:2")], children=children))
    assert [change.split("/")[0] for change in changes(found).values()] == ["operator"]


AT_ONCE_BECAUSE: dict[str, Any] = {
    "the pool is new": observe(),
    "the tenant changed": observe(
        {"name": "espeak", "precision": "fp16"},
        known=[model(precisions=[precision("fp32"), precision("fp16")])],
        children=settle(observe(), NOON - timedelta(hours=1)),
    ),
    "nobody speaks": observe(
        known=[model(image="new:2")],
        children=settle(observe(children=settle(observe()), suspend=True), NOON - timedelta(hours=1)),
        suspend=True,
    ),
    "no pod changes": of_acme(firstAudioTimeoutSeconds=9),
}  # fmt: skip


@pytest.mark.parametrize("observed", AT_ONCE_BECAUSE.values(), ids=AT_ONCE_BECAUSE)
def test_nobody_waits_where(observed: Any) -> None:
    assert changes(resolved(observed)) == {}


def waiting(observed: Any, reason: str = WAITING, change: str = NEW) -> Any:
    found = resolved(observed)
    problem = blocked_reason(found.key, NEW, rolls(5) if reason == WAITING else rolls(2, failed=2))
    assert problem is not None
    assert problem.reason == reason
    return found.waiting({"acme-espeak": problem}, {"acme-espeak": change})


def test_who_waits_keeps_the_pods_and_gets_everything_else() -> None:
    before = settle(observe(), NOON - timedelta(hours=1))
    changed = model(
        image="new:2", threads=4, voices=[{"name": "en-us"}, {"name": "fr"}], precisions=[model().spec.precisions[0]]
    )
    observed = observe(known=[changed], children=before, quota={"requestsPerMinute": 3})
    found = built(waiting(observed))
    assert found is not None
    assert [manifest.ref.kind for manifest in found.manifests if manifest.ref.name == "acme-espeak"] == [
        "NetworkPolicy",
        "Service",
        "Deployment",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
    ]
    bodies = [dict(manifest.body) for manifest in found.manifests]
    pods = child(before, "Deployment", "acme-espeak")["spec"]["template"]
    assert child(bodies, "Deployment", "acme-espeak")["spec"]["template"] == pods
    assert json.loads(child(bodies, "ConfigMap", "acme-quota")["data"]["quota.json"])["requestsPerMinute"] == 3
    (now,) = json.loads(child(bodies, "ConfigMap", "acme-espeak-server")["data"]["server.json"])["models"]
    (then,) = json.loads(child(before, "ConfigMap", "acme-espeak-server")["data"]["server.json"])["models"]
    assert [voice["name"] for voice in now["voices"]] == ["en-us", "fr"]
    assert now["engine"] == then["engine"], "pods settle it at their start"
    assert now["weightsDigest"] == then["weightsDigest"], "they sound as before"


def test_pods_of_another_operator_are_told_nothing_that_they_may_not_know() -> None:
    """Their server refuses a file with a field that is new; a pod that starts meanwhile must be able to."""
    before = settle(observe(), NOON - timedelta(hours=1))
    observed = observe(known=[model(image="new:2")], children=before, quota={"requestsPerMinute": 3}, cache={})
    found = built(waiting(observed, change="operator//new"))
    assert found is not None
    configs = [manifest.ref.name for manifest in found.manifests if manifest.ref.kind == "ConfigMap"]
    assert configs == ["acme-quota"]
    assert "acme-espeak-server" in {ref.name for ref in found.kept}


@pytest.mark.parametrize("reason", [WAITING, HALTED])
def test_who_waits_is_told_so_and_is_ready_all_the_same(reason: str) -> None:
    observed = of_acme(image="new:2")
    found = waiting(observed, reason)
    said = {each["type"]: each for each in status(found, observed, Outcome({}))["conditions"]}
    assert (said["Programmed"]["status"], said["Programmed"]["reason"]) == ("False", reason)
    assert said["Programmed"]["message"].startswith("acme-espeak: the previous pods keep serving. ")
    assert said["Ready"]["status"] == "True"


def test_pods_that_cannot_run_fail_their_rollout() -> None:
    after = settle(of_acme(image="new:2"))
    found = child(after, "Deployment", "acme-espeak")
    template = found["spec"]["template"]
    broken = pod(annotations=template["metadata"]["annotations"], **container(waiting={"reason": "ImagePullBackOff"}))
    broken["spec"] = {"containers": [{"image": "new:2"}]}
    assert pods_fail(found, [broken])
    old = {**broken, "spec": {"containers": [{"image": "old:1"}]}}
    assert not pods_fail(found, [old]), "an old pod's trouble is not the change's"
    homeless = {**broken, "status": unschedulable()}
    assert not pods_fail(found, [homeless])
    assert pods_unschedulable(found, [homeless])
    assert not pods_unschedulable(found, [{**homeless, "spec": old["spec"]}]), (
        "an old pod's trouble is not the change's"
    )
    starting = {**broken, "status": container(waiting={"reason": "ContainerCreating"})}
    assert not pods_fail(found, [starting])


def test_who_is_let_go_counts_before_anybody_has_seen_it() -> None:
    rollout_limiter = RolloutLimiter()
    for number in range(MAX_CONCURRENT_TENANTS):
        assert rollout_limiter.admit(key(number), {"acme-espeak": NEW}) == {}
    assert rollout_limiter.admit(key(9), {"acme-espeak": NEW})["acme-espeak"].reason == WAITING


def test_what_is_about_to_be_written_is_not_undone_by_what_was_read_before() -> None:
    rollout_limiter = RolloutLimiter()
    for number in range(MAX_CONCURRENT_TENANTS):
        rollout_limiter.admit(key(number), {"acme-espeak": NEW})
    rollout_limiter.record(deployment("", version=99, tenant=key(0)))
    rollout_limiter.retain(set())
    assert rollout_limiter.admit(key(9), {"acme-espeak": NEW}) != {}


def test_what_the_watch_tells_too_late_takes_nobody_off_the_list() -> None:
    rollout_limiter = RolloutLimiter()
    for number in range(MAX_CONCURRENT_TENANTS):
        rollout_limiter.admit(key(number), {"acme-espeak": NEW})
        rollout_limiter.mark_applied(
            key(number), ["acme-espeak"], [deployment(version=20, tenant=key(number), updatedReplicas=0)]
        )
    rollout_limiter.record(deployment(version=19, tenant=key(1)))
    assert rollout_limiter.admit(key(9), {"acme-espeak": NEW}) != {}
    rollout_limiter.record(deployment(version=21, tenant=key(1)))
    assert rollout_limiter.next_requeue() == [key(9)]
    assert rollout_limiter.admit(key(9), {"acme-espeak": NEW}) == {}


def test_who_waits_asks_again_when_it_waits_for_another_reason() -> None:
    rollout_limiter = RolloutLimiter()
    for number in range(MAX_CONCURRENT_TENANTS):
        rollout_limiter.admit(key(number), {"acme-espeak": NEW})
        rollout_limiter.mark_applied(key(number), ["acme-espeak"], [deployment(tenant=key(number), updatedReplicas=0)])
    waiters = [key(number) for number in range(10, 20)]
    for who in waiters:
        rollout_limiter.admit(who, {"acme-espeak": NEW})
    assert rollout_limiter.next_requeue() == []
    for number in range(FAILURE_NAMESPACES):
        rollout_limiter.record(deployment(version=2, tenant=key(number), updatedReplicas=0), stuck=True)
    assert rollout_limiter.next_requeue() == waiters
    assert {rollout_limiter.admit(who, {"acme-espeak": NEW})["acme-espeak"].reason for who in waiters} == {HALTED}
    assert rollout_limiter.next_requeue() == []
    blocked = rollout_limiter.blocked()["espeak"]
    assert blocked.message.startswith(
        "10 tenants are queued. Rollout paused: the change of TTSModel espeak failed on 2 tenants"
    )
    rollout_limiter.record(deployment(version=3, tenant=key(0)))
    assert rollout_limiter.blocked() == {}
    first = rollout_limiter.next_requeue()
    assert first == waiters[:2], "two may go: one is there, one fails and holds no place"
    assert rollout_limiter.next_requeue() == []
    assert rollout_limiter.next_requeue(again=True) == first
    for who in first:
        assert rollout_limiter.admit(who, {"acme-espeak": NEW}) == {}
    assert rollout_limiter.next_requeue() == waiters[2:], "the others wait for their turn again"


def test_a_write_of_which_nobody_knows_counts_until_the_next_reading() -> None:
    rollout_limiter = RolloutLimiter()
    for number in range(MAX_CONCURRENT_TENANTS):
        rollout_limiter.admit(key(number), {"acme-espeak": NEW})
        rollout_limiter.mark_applied(key(number), ["acme-espeak"], [])
    assert rollout_limiter.admit(key(9), {"acme-espeak": NEW}) != {}
    rollout_limiter.record(deployment("", tenant=key(0)))
    assert rollout_limiter.admit(key(9), {"acme-espeak": NEW}) == {}


@pytest.mark.parametrize("gone", ["deleted", "not listed"])
def test_what_is_gone_rolls_no_more(gone: str) -> None:
    rollout_limiter = RolloutLimiter()
    for number in range(MAX_CONCURRENT_TENANTS):
        rollout_limiter.record(deployment(tenant=key(number), updatedReplicas=0, availableReplicas=0))
    if gone == "deleted":
        rollout_limiter.record(deployment(version=2, tenant=key(0)), gone=True)
    else:
        rollout_limiter.retain({PoolKey(key(number), "acme-espeak") for number in range(1, MAX_CONCURRENT_TENANTS)})
    assert rollout_limiter.admit(key(9), {"acme-espeak": NEW}) == {}


class Clock:
    """Time that tests move."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return NOON


def test_a_place_is_given_back_after_its_deadline() -> None:
    clock = Clock()
    rollout_limiter = RolloutLimiter(clock=clock)
    for number in range(MAX_CONCURRENT_TENANTS):
        rollout_limiter.record(deployment(tenant=key(number), updatedReplicas=0))
        clock.seconds += 1
    assert rollout_limiter.admit(key(9), {"acme-espeak": NEW})["acme-espeak"].reason == WAITING
    clock.seconds = 100 + PLACE_SECONDS - 1
    for number in range(MAX_CONCURRENT_TENANTS):
        rollout_limiter.record(deployment(version=2, tenant=key(number), updatedReplicas=1))
    assert rollout_limiter.next_requeue() == []
    clock.seconds += 1
    assert rollout_limiter.next_requeue() == [key(9)], "the first one has had its time"
    assert rollout_limiter.admit(key(9), {"acme-espeak": NEW}) == {}
    assert rollout_limiter.admit(key(8), {"acme-espeak": NEW}) != {}, "the second one has a second left"
    clock.seconds += 1
    assert rollout_limiter.admit(key(8), {"acme-espeak": NEW}) == {}


def test_a_write_that_never_succeeds_holds_its_place_no_longer_than_others() -> None:
    clock = Clock()
    rollout_limiter = RolloutLimiter(clock=clock)
    for _ in range(60):
        for number in range(MAX_CONCURRENT_TENANTS):
            rollout_limiter.record(deployment(OLD, tenant=key(number)))
            rollout_limiter.admit(key(number), {"acme-espeak": NEW})
            rollout_limiter.mark_applied(key(number), ["acme-espeak"], [])
        clock.seconds += PLACE_SECONDS / 60
    assert rollout_limiter.admit(key(9), {"acme-espeak": NEW}) == {}


def test_a_full_namespace_holds_no_place() -> None:
    """Five tenants of one team find no room; a tenant of another team takes another model's change at once."""
    rollout_limiter = RolloutLimiter(Limits(concurrent_tenants=9))
    for name in "abcde":
        who = Key("full", name)
        assert rollout_limiter.admit(who, {"acme-espeak": NEW}) == {}
        denied = [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: compute"}]
        rollout_limiter.mark_applied(
            who, ["acme-espeak"], [deployment(tenant=who, updatedReplicas=0, conditions=denied)]
        )
    for number in range(9):
        assert rollout_limiter.admit(key(number), {"acme-large": "model/large/new"}) == {}, "all nine places are free"
    assert rollout_limiter.admit(key(9), {"acme-large": "model/large/new"}) != {}
    assert rollout_limiter.halted() == {}
    assert rollout_limiter.failing() == {}


def test_room_that_the_pods_of_a_rollout_find_takes_a_place_again() -> None:
    rollout_limiter = RolloutLimiter(Limits(concurrent_tenants=1))
    rollout_limiter.record(deployment(tenant=key(0), updatedReplicas=0), no_room=True)
    rollout_limiter.record(deployment(version=2, tenant=key(0), updatedReplicas=0))  # the watch does not see pods
    assert rollout_limiter.admit(key(1), {"acme-espeak": NEW}) == {}
    rollout_limiter.record(deployment(version=2, tenant=key(0), updatedReplicas=0), no_room=False)
    assert rollout_limiter.admit(key(2), {"acme-espeak": NEW}) != {}
    rollout_limiter.mark_applied(key(1), ["acme-espeak"], [deployment(tenant=key(1))])
    assert rollout_limiter.admit(key(2), {"acme-espeak": NEW}) != {}, "the first one rolls again"


def test_namespaces_take_turns() -> None:
    rollout_limiter = RolloutLimiter()
    for number in range(MAX_CONCURRENT_TENANTS):
        rollout_limiter.record(deployment(tenant=key(number), updatedReplicas=0))
    crowd = [Key("crowd", f"t{number}") for number in range(10)]
    for who in [*crowd, key(9)]:
        assert rollout_limiter.admit(who, {"acme-espeak": NEW}) != {}
    for number in range(2):
        rollout_limiter.record(deployment(version=2, tenant=key(number)))
    assert rollout_limiter.next_requeue() == [crowd[0], key(9)]


def test_a_place_that_the_first_in_the_queue_does_not_want_goes_to_the_next() -> None:
    rollout_limiter = RolloutLimiter(Limits(concurrent_tenants=1))
    rollout_limiter.record(deployment(tenant=key(0), updatedReplicas=0))
    for number in (1, 2):
        rollout_limiter.admit(key(number), {"acme-espeak": NEW})
    rollout_limiter.record(deployment(version=2, tenant=key(0)))
    assert rollout_limiter.next_requeue() == [key(1)]
    rollout_limiter.admit(key(1), {})
    assert rollout_limiter.next_requeue() == [key(2)]


def test_a_model_that_is_let_go_counts_nobody_as_halted() -> None:
    rollout_limiter = RolloutLimiter()
    for number in range(FAILURE_NAMESPACES):
        rollout_limiter.record(deployment(tenant=key(number), updatedReplicas=0), stuck=True)
    assert rollout_limiter.admit(key(9), {"acme-espeak": NEW}) != {}
    assert set(rollout_limiter.blocked()) == {"espeak"}
    assert rollout_limiter.admit(key(9), {"acme-espeak": NEW}, {"acme-espeak": Mode.PAUSED}) != {}
    assert rollout_limiter.blocked() == {}
    assert rollout_limiter.admit(key(9), {"acme-espeak": NEW}, {"acme-espeak": Mode.IGNORE_FAILURES}) == {}


def test_a_tenant_that_is_not_due_any_more_waits_no_more() -> None:
    rollout_limiter = RolloutLimiter()
    for each in rolls(MAX_CONCURRENT_TENANTS):
        rollout_limiter.admit(each.key, {each.pool: NEW})
    rollout_limiter.admit(key(9), {"acme-espeak": NEW})
    assert rollout_limiter.waiting == 1
    rollout_limiter.admit(key(9), {})
    assert rollout_limiter.waiting == 0


def test_a_tenant_that_leaves_the_queue_lets_the_next_one_start() -> None:
    rollout_limiter = RolloutLimiter(Limits(concurrent_tenants=1))
    rollout_limiter.record(deployment(tenant=key(0), updatedReplicas=0))
    for number in (1, 2):
        rollout_limiter.admit(key(number), {"acme-espeak": NEW})
    rollout_limiter.leave_queue(key(1))
    rollout_limiter.leave_queue(key(3))  # one that never waited
    assert rollout_limiter.waiting == 1
    rollout_limiter.record(deployment(version=2, tenant=key(0)))
    assert rollout_limiter.next_requeue() == [key(2)]


REASONS = {"answers": "NewReplicaSetAvailable", "rolls": "ReplicaSetUpdated", "fails": "ProgressDeadlineExceeded"}


@dataclass
class Pool:
    """A pool of the simulation."""

    asked: int = 0
    """The change that its spec asks for."""
    has: int = 0
    ends: str = "answers"
    """One of `answers`, `rolls` and `fails`."""
    version: int = 1


class Rollouts(RuleBasedStateMachine):
    """A dozen tenants, a model that changes, and news that comes when it comes."""

    def __init__(self) -> None:
        super().__init__()
        self.rollout_limiter = RolloutLimiter()
        self.pools = {key(number): Pool() for number in range(12)}
        self.current = 0
        self.broken: set[int] = set()
        self.news: list[Object] = []
        self.known: dict[Key, int] = {}
        """The latest state of each pool that the fleet was told of: what is still on its way, nobody can go by."""

    def tell(self, body: Object) -> None:
        who, _ = pool_key(body)
        self.rollout_limiter.record(body)
        self.known[who] = max(self.known.get(who, 0), int(body["metadata"]["resourceVersion"]))

    def live(self, who: Key) -> Object:
        pool = self.pools[who]
        change = f"model/espeak/{pool.has}" if pool.has else ""
        updated = 2 if pool.ends == "answers" else 0
        conditions = progressing(REASONS[pool.ends])
        return deployment(change, version=pool.version, tenant=who, conditions=conditions, updatedReplicas=updated)

    def moved(self, who: Key) -> None:
        self.pools[who].version += 1
        self.news.append(self.live(who))

    def reconcile(self, who: Key) -> None:
        """Use the limiter as `reconcile` does."""
        pool = self.pools[who]
        self.tell(self.live(who))
        changes = {"acme-espeak": f"model/espeak/{self.current}"} if pool.has != self.current else {}
        before = self.blocked()
        waits = self.rollout_limiter.admit(who, changes)
        if changes and not waits:
            assert not before, "nobody takes a change that two fail with"
            pool.has, pool.ends = self.current, "rolls"
            self.moved(who)
            self.rollout_limiter.mark_applied(who, ["acme-espeak"], [self.live(who)])
            self.known[who] = pool.version

    def blocked(self) -> bool:
        failed = [
            who
            for who, pool in self.pools.items()
            if pool.ends == "fails" and pool.has == self.current and self.known.get(who) == pool.version
        ]
        return len(failed) >= FAILURE_NAMESPACES

    @rule(broken=st.booleans())
    def the_model_changes(self, broken: bool) -> None:
        self.current += 1
        if broken:
            self.broken.add(self.current)

    @rule(number=st.integers(0, 11))
    def a_tenant_is_looked_at(self, number: int) -> None:
        self.reconcile(key(number))

    @rule()
    def everybody_is_looked_at(self) -> None:
        for who in self.pools:
            self.reconcile(who)

    @rule(number=st.integers(0, 11))
    def a_rollout_ends(self, number: int) -> None:
        self.end(key(number))

    def end(self, who: Key) -> None:
        pool = self.pools[who]
        if pool.ends == "rolls":
            pool.ends = "fails" if pool.has in self.broken else "answers"
            self.moved(who)

    @rule()
    def every_rollout_ends(self) -> None:
        for who in self.pools:
            self.end(who)

    @rule()
    def all_news_arrives(self) -> None:
        while self.news:
            self.tell(self.news.pop())

    @precondition(lambda self: self.news)
    @rule(data=st.data())
    def news_arrives(self, data: st.DataObject) -> None:
        self.tell(self.news.pop(data.draw(st.integers(0, len(self.news) - 1))))

    @rule()
    def everything_is_listed(self) -> None:
        """As the next leader does, which knows nothing yet."""
        self.rollout_limiter = RolloutLimiter()
        for who in self.pools:
            self.tell(self.live(who))

    @invariant()
    def at_most_five_are_on_their_way(self) -> None:
        assert len([pool for pool in self.pools.values() if pool.ends == "rolls"]) <= MAX_CONCURRENT_TENANTS

    def teardown(self) -> None:
        """Once the model is whole and rollouts end, everybody gets there."""
        self.current += 1
        for _ in range(4):
            self.everybody_is_looked_at()
            self.at_most_five_are_on_their_way()
            for who in self.pools:
                self.end(who)
            for body in self.news:
                self.tell(body)
            for who in self.rollout_limiter.next_requeue():
                self.reconcile(who)
            self.at_most_five_are_on_their_way()
        assert {pool.has for pool in self.pools.values()} == {self.current}


TestRollouts = Rollouts.TestCase
TestRollouts.settings = hypothesis_settings(max_examples=60, stateful_step_count=40)


STRANGERS: dict[str, list[Object]] = {
    "nobody controls it": [],
    "another program controls it": [{**controller(KEY), "apiVersion": "example.com/v1", "kind": "App"}],
    "another tenant controls it": [{**controller(KEY), "name": "other"}],
    "the tenant owns it and does not control it": [{**controller(KEY), "controller": False}],
}


@pytest.mark.parametrize("owners", STRANGERS.values(), ids=STRANGERS)
def test_a_deployment_that_its_tenant_does_not_control_holds_no_place(owners: list[Object]) -> None:
    """Anybody may write the label of a tenant, and a Deployment that never finishes."""
    rollout_limiter = RolloutLimiter()
    for number in range(MAX_CONCURRENT_TENANTS):
        stranger = deployment(tenant=key(number), updatedReplicas=0)
        stranger["metadata"]["ownerReferences"] = owners
        rollout_limiter.record(stranger)
    assert rollout_limiter.admit(key(9), {"acme-espeak": NEW}) == {}


def test_a_deployment_with_the_reference_of_a_deleted_tenant_holds_no_place() -> None:
    """A reconcile knows the UID of its tenant."""
    live = settle(observe())
    for child_ in live:
        if child_["kind"] == "Deployment":
            child_["metadata"]["annotations"][ROLLOUT] = NEW
            child_["status"] = {}
            child_["metadata"]["ownerReferences"][0]["uid"] = "of a deleted tenant"
    observed = replace(observe(), children={ref_of(each): each for each in live})
    rollout_limiter = RolloutLimiter(Limits(concurrent_tenants=1))
    rollout_limiter.record_tenant(observed)
    assert rollout_limiter.admit(key(9), {"acme-espeak": NEW}) == {}


def test_a_pool_that_its_tenant_no_longer_controls_gives_its_place_back() -> None:
    rollout_limiter = RolloutLimiter(Limits(concurrent_tenants=1))
    rollout_limiter.record(deployment(updatedReplicas=0))
    assert rollout_limiter.admit(key(9), {"acme-espeak": NEW}) != {}
    orphan = deployment(version=2, updatedReplicas=0)
    del orphan["metadata"]["ownerReferences"]
    rollout_limiter.record(orphan)
    assert rollout_limiter.admit(key(9), {"acme-espeak": NEW}) == {}


def test_a_namespace_takes_no_more_than_its_share_of_places_from_others() -> None:
    """Whoever edits a namespace may forge the reference to its tenants: each of them holds a place of the namespace."""
    rollout_limiter = RolloutLimiter()
    for number in range(2 * MAX_CONCURRENT_TENANTS):
        rollout_limiter.record(deployment(tenant=Key("crowd", f"t{number}"), updatedReplicas=0))
    others = MAX_CONCURRENT_TENANTS - Limits().tenants_per_namespace
    for number in range(others):
        assert rollout_limiter.admit(key(number), {"acme-espeak": NEW}) == {}
    assert rollout_limiter.admit(key(9), {"acme-espeak": NEW}) != {}
    assert rollout_limiter.admit(Key("crowd", "another"), {"acme-espeak": NEW}) != {}
