"""The status reports the first cause that a person must fix, and how."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import tzdata
from pydantic import TypeAdapter

from tests.support.onnx_models import observe_store
from tests.support.operator_builders import (
    DAY,
    NOON,
    SETTINGS,
    answering,
    child,
    container,
    observe,
    pod,
    ref,
    resolved,
    settle,
    stamp,
    unschedulable,
    while_refused,
)
from tests.support.resources import Object, calendar, model, precision
from tts_operator.api import TTSTenantStatus
from tts_operator.credentials.api_keys import KeyEntries
from tts_operator.credentials.model_sources import SourceCredentials
from tts_operator.objects.problem import Problem
from tts_operator.plan.outcome import Outcome
from tts_operator.resolve.resolve import resolve
from tts_operator.snapshot.observed import Observed
from tts_operator.status.events import Event, events
from tts_operator.status.tenant import status

LONG_AGO = "2026-01-01T00:00:00Z"
FORBIDDEN = (
    'pods "acme-espeak-2" is forbidden: exceeded quota: compute, requested: pods=1, used: pods=3, limited: pods=3'
)


def report(observed: Observed, outcome: Outcome | None = None, later: timedelta = timedelta()) -> dict[str, Any]:
    return status(resolved(observed, NOON + later), observed, outcome or Outcome())


def condition(said: dict[str, Any], type_: str) -> dict[str, Any]:
    return next(each for each in said["conditions"] if each["type"] == type_)


def problem(said: dict[str, Any], type_: str) -> tuple[str, str]:
    found = condition(said, type_)
    return found["status"], found["reason"]


def running(ready: int | None = None, *conditions: Object, **spec: Any) -> list[Object]:
    """The children of a tenant of which so many pods are ready."""
    children = settle(observe(**spec))
    deployment = answering(child(children, "Deployment", "acme-espeak"), ready)
    deployment["status"]["conditions"] = list(conditions)
    return children


def failure(message: str) -> Object:
    return {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}


def blind(children: list[Object]) -> list[Object]:
    lost = {"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric", "message": "no metrics"}
    hpa = child(children, "HorizontalPodAutoscaler", "acme-espeak")
    hpa["status"] = {"conditions": [{**lost, "lastTransitionTime": stamp(NOON - timedelta(minutes=10))}]}
    return children


def slept(children: list[Object]) -> list[Object]:
    condition = {"type": "ScaledToZero", "status": "True", "reason": "ScaledToZero", "message": "no requests"}
    child(children, "HorizontalPodAutoscaler", "acme-espeak")["status"] = {"conditions": [condition]}
    deployment = child(children, "Deployment", "acme-espeak")
    deployment["spec"]["replicas"] = 0
    answering(deployment)
    return children


def waits(why: str, message: str = "", **last: Any) -> Object:
    state: Object = {"waiting": {"reason": why, "message": message}}
    return pod(**container(**state, **({"last": last} if last else {})))


# The story: the reading, what came of the writes, and which condition says what. Ready says it, too.
CAUSES: dict[str, tuple[Observed, dict[str, tuple[str, str]], str, str, str]] = {
    "not supported yet": (observe(preventDeletion=True), {}, "Accepted", "NotSupportedYet", "spec.preventDeletion"),
    "a zone that nobody knows": (
        observe(schedule={**DAY, "timeZone": "Mars/Olympus"}),
        {},
        "Accepted",
        "UnknownTimeZone",
        "Mars/Olympus",
    ),
    "no such model": (
        observe(known=[], children=running()),
        {},
        "ModelsResolved",
        "ModelNotFound",
        "running pods are not affected",
    ),
    "a model for others": (
        observe(known=[model(allowedNamespaces={"matchLabels": {"team": "b"}})]),
        {},
        "ModelsResolved",
        "ModelNotAllowed",
        "team=b",
    ),
    "an alias of a voice that nobody has": (
        observe(children=running(), voiceAliases={"alloy": "nobody"}),
        {},
        "ModelsResolved",
        "VoiceNotFound",
        "spec.voiceAliases[alloy] names voice nobody",
    ),
    "a name that is taken": (
        observe(children=running()),
        {"acme": ("NameTaken", "exists and is not this tenant's")},
        "Programmed",
        "NameTaken",
        "svc/acme: exists",
    ),
    "pods that start": (observe(children=running(0), pods=[pod()]), {}, "Available", "Starting", "acme-espeak"),
    "nothing there yet": (observe(), {}, "Available", "Starting", "acme-espeak"),
    "an image that is not there": (
        observe(children=running(0), pods=[waits("ErrImagePull", "not found")]),
        {},
        "Available",
        "ErrImagePull",
        "pod acme-espeak-1: not found; check image and imagePullSecrets of the TTSModel",
    ),
    "an image that is still not there": (
        observe(children=running(0), pods=[waits("ImagePullBackOff", "Back-off pulling image")]),
        {},
        "Available",
        "ImagePullBackOff",
        "Back-off",
    ),
    "no node": (
        observe(children=running(0), pods=[pod(**unschedulable())]),
        {},
        "Available",
        "Unschedulable",
        "Insufficient cpu",
    ),
    "a crash loop": (
        observe(children=running(0), pods=[waits("CrashLoopBackOff", exitCode=1, reason="Error")]),
        {},
        "Available",
        "CrashLoopBackOff",
        "exit code 1; read the pod's log",
    ),
    "a crash loop for want of memory": (
        observe(children=running(0), pods=[waits("CrashLoopBackOff", exitCode=137, reason="OOMKilled")]),
        {},
        "Available",
        "OOMKilled",
        "raise the memory limit",
    ),
    "out of memory just now": (
        observe(children=running(0), pods=[pod(**container(terminated={"exitCode": 137, "reason": "OOMKilled"}))]),
        {},
        "Available",
        "OOMKilled",
        "memory",
    ),
    "out of memory, and started again": (
        observe(
            children=running(0),
            pods=[pod(**container(running={}, last={"exitCode": 137, "reason": "OOMKilled"}))],
        ),
        {},
        "Available",
        "OOMKilled",
        "memory",
    ),
    "a container that ended": (
        observe(children=running(0), pods=[pod(**container(terminated={"exitCode": 3, "reason": "Error"}))]),
        {},
        "Available",
        "ContainerEnded",
        "exit code 3",
    ),
    "a container that cannot be made": (
        observe(children=running(0), pods=[waits("CreateContainerConfigError", 'secret "x" not found')]),
        {},
        "Available",
        "CreateContainerConfigError",
        'secret "x" not found',
    ),
    "pods that the quota forbids": (
        observe(children=running(0, failure(FORBIDDEN))),
        {},
        "Available",
        "QuotaExceeded",
        "exceeded quota: compute",
    ),
    "pods that a policy forbids": (
        observe(children=running(0, failure('pods "x" is forbidden: violates PodSecurity "restricted"'))),
        {},
        "Available",
        "AdmissionDenied",
        "violates PodSecurity",
    ),
    "nobody has a key": (
        observe(children=running(), keys=False),
        {},
        "Available",
        "KeysNotFound",
        "Secret acme-keys does not exist in namespace team-acme, so every request is rejected: create it with"
        " `kubectl tts keygen --tenant acme -n team-acme`",
    ),
    "nobody has a key, and pods still start": (
        observe(children=running(0), keys=False, auth={"apiKeysSecretRef": {"name": "mine"}}),
        {},
        "Available",
        "KeysNotFound",
        "Secret mine, named by spec.auth.apiKeysSecretRef, does not exist in namespace team-acme, so every request is"
        " rejected: create it with `kubectl tts keygen --tenant acme -n team-acme`",
    ),
    "the only key is in plain text": (
        observe(children=running(), keys=KeyEntries(0, plain=("mobile",))),
        {},
        "Available",
        "KeysUnusable",
        "entry mobile looks like a key in plain text: treat it as leaked",
    ),
    "no entry, and pods still start": (
        observe(children=running(0), keys=KeyEntries()),
        {},
        "Available",
        "KeysUnusable",
        "Secret acme-keys in namespace team-acme has no entry, so every request is rejected",
    ),
    "nobody has a key, and pods cannot run": (
        observe(children=running(0), keys=False, pods=[pod(**unschedulable())]),
        {},
        "Available",
        "Unschedulable",
        "Insufficient cpu",
    ),
}


@pytest.mark.parametrize(("observed", "failures", "type_", "reason", "message"), CAUSES.values(), ids=CAUSES)
def test_cause(observed: Observed, failures: dict[str, tuple[str, str]], type_: str, reason: str, message: str) -> None:
    outcome = Outcome({ref("Service", name): Problem(*found) for name, found in failures.items()})
    said = report(observed, outcome)
    assert problem(said, type_) == ("False", reason)
    assert problem(said, "Ready") == ("False", reason)
    assert message in condition(said, type_)["message"]
    others = {each["type"] for each in said["conditions"] if each["status"] == "False"} - {
        type_,
        "Ready",
        "Progressing",
    }
    assert others <= {"Available", "KeysConfigured"}, "one cause, one condition"


def test_a_pool_that_its_autoscaler_scaled_to_zero_is_ready_and_not_available() -> None:
    """It does what the spec asks for, as a suspended one does; while another pool starts, it is not ready."""
    said = report(observe(children=slept(running(0))))
    assert problem(said, "Available") == ("False", "ScaledToZero")
    assert problem(said, "Ready") == ("True", "ScaledToZero")
    assert condition(said, "Ready")["message"].startswith("hpa/acme-espeak has scaled the pool to zero")
    assert [each.type for each in events(report(observe()), said) if each.reason == "ScaledToZero"] == ["Normal"]
    children = slept(settle(observe("espeak", "other")))
    answering(child(children, "Deployment", "acme-other"), 0)
    said = report(observe("espeak", "other", children=children))
    assert problem(said, "Ready") == problem(said, "Available") == ("False", "Starting")
    children = slept(running(0))
    assert problem(report(observe(children=children, keys=False)), "Ready") == ("False", "KeysNotFound")


def killed(ago: timedelta, *, ready: bool = True, restarts: int = 1) -> Object:
    """A pod whose container was killed for memory so long ago."""
    at = NOON - ago
    ended = {
        "reason": "OOMKilled",
        "exitCode": 137,
        "startedAt": stamp(at - timedelta(minutes=5)),
        "finishedAt": stamp(at),
    }
    found = {"name": "tts-server", "ready": ready, "restartCount": restarts}
    state = {"state": {"running": {}}, "lastState": {"terminated": ended}}
    return pod(containerStatuses=[found | state])


def test_a_kill_for_memory_is_told_for_an_hour_after_the_pod_is_ready_again() -> None:
    observed = observe(children=running(), pods=[killed(timedelta(minutes=59), restarts=3)])
    said = report(observed)
    assert problem(said, "Available") == ("True", "OOMKilledUnderLoad")
    assert condition(said, "Available")["message"].startswith(
        "pod acme-espeak-1: the container used more memory than the node had and was killed after 5 minutes at"
        " 2026-11-04T11:01:00Z (3 restarts); it is ready again; lower limits.cpu"
    )
    assert problem(said, "Ready")[0] == "True"
    assert resolved(observed).requeue_at == NOON + timedelta(minutes=1), "it is looked at again when the hour is over"
    assert problem(report(observed, later=timedelta(minutes=1)), "Available") == ("True", "AsSpecified")
    assert resolved(observed, NOON + timedelta(minutes=1)).requeue_at is None


def test_every_kill_is_an_event() -> None:
    first = report(observe(children=running(), pods=[killed(timedelta(minutes=9))]))
    again = report(observe(children=running(), pods=[killed(timedelta(minutes=1), restarts=2)]))
    assert [each.reason for each in events(report(observe(children=running())), first)] == ["OOMKilledUnderLoad"]
    assert events(first, first) == []
    assert [(each.type, each.reason) for each in events(first, again)] == [("Warning", "OOMKilledUnderLoad")]


def test_a_pod_that_is_not_ready_again_is_a_failure() -> None:
    said = report(observe(children=running(0), pods=[killed(timedelta(minutes=9), ready=False)]))
    assert problem(said, "Available")[0] == "False"


def test_a_tenant_that_speaks_is_ready() -> None:
    said = report(observe(children=running(schedule=DAY), schedule=DAY))
    assert {each["type"]: each["status"] for each in said["conditions"]} == dict.fromkeys(
        (
            "Accepted",
            "ModelsResolved",
            "Programmed",
            "Available",
            "ScalingActive",
            "StorageConfigured",
            "KeysConfigured",
            "Ready",
        ),
        "True",
    ) | {"Progressing": "False"}


def test_a_tenant_that_was_born_suspended_and_is_refused_later_was_accepted() -> None:
    before = report(observe(suspend=True))
    assert problem(before, "Available") == ("False", "Suspended")
    said = report(while_refused(observe(before=before, suspend=True)))
    assert problem(said, "Available") == ("False", "Suspended")
    assert condition(said, "Accepted")["message"].endswith("; until then the last accepted spec applies")
    said = report(observe(before=before, suspend=True, preventDeletion=True))
    assert problem(said, "Available") == ("False", "Suspended")
    assert condition(said, "Accepted")["message"].endswith("; until then everything stays as it is")


def test_a_tenant_that_was_never_accepted_has_nothing_that_answers() -> None:
    said = report(observe(preventDeletion=True))
    assert problem(said, "Available") == ("False", "NeverAccepted")
    assert problem(said, "Ready") == ("False", "NotSupportedYet"), "that is what a person has to mend"
    assert problem(report(observe(children=running(), preventDeletion=True)), "Available")[0] == "True"


def test_a_refused_spec_says_that_the_last_accepted_one_goes_on_with_its_clock() -> None:
    schedule = {"preset": "DayNightWeekend"}
    before = {"activeWindow": "night", "pools": [], "replicas": "0/0"}
    said = report(while_refused(observe(children=running(schedule=schedule), before=before, schedule=schedule)))
    accepted = next(each for each in said["conditions"] if each["type"] == "Accepted")
    assert accepted["message"].endswith("until then the last accepted spec applies")
    assert said["activeWindow"] == "day"
    assert said["nextTransition"] == {
        "time": "2026-11-05T00:00:00Z",
        "window": "night",
        "minReplicas": 1,
        "maxReplicas": 1,
    }
    assert said["replicas"] == "3/3"


def test_the_whole_status() -> None:
    children = running(2, schedule=DAY)
    said = report(observe(children=children, schedule={"preset": "DayNightWeekend"}))
    del said["conditions"], said["acceptedSpec"]
    assert said == {
        "observedGeneration": 4,
        "activeWindow": "day",
        "timeZoneDatabase": tzdata.IANA_VERSION,
        "preWarmSeconds": 0,
        "nextTransition": {"time": "2026-11-05T00:00:00Z", "window": "night", "minReplicas": 1, "maxReplicas": 1},
        "pools": [
            {"model": "espeak", "role": "Entry", "precision": "fp32", "min": 3, "max": 3, "desired": 3, "ready": 2}
        ],
        "replicas": "2/3",
        "model": "espeak",
        "precision": "fp32",
        "precisionReason": "fp32 is the model's default",
        "url": "http://acme.team-acme.svc",
    }


def expiry(observed: Observed, days: int = 0) -> str | None:
    said = report(observed, later=timedelta(days=days))
    TypeAdapter(TTSTenantStatus).validate_python(said)
    found: str | None = said["pools"][0].get("downloadExpiryTime")
    return found


def test_the_status_says_until_when_pods_can_download_files() -> None:
    week = timedelta(days=7)
    children = settle(observe_store(), NOON)
    assert expiry(observe_store()) == stamp(NOON + week)
    assert expiry(observe_store(children=children), 3) == stamp(NOON + week)
    assert expiry(observe_store(children=children), 4) == stamp(NOON + timedelta(days=4) + week)
    without_keys = SourceCredentials(problem=Problem("SourceSecretNotFound", ""))
    stuck = observe_store(children=children, credentials=without_keys)
    assert expiry(stuck, 4) == stamp(NOON + week), "nobody can sign new URLs"
    assert expiry(observe_store(credentials=without_keys)) is None
    assert expiry(observe()) is None


@pytest.mark.parametrize(("observed", "failures", "type_", "reason", "message"), CAUSES.values(), ids=CAUSES)
def test_every_status_is_one_that_the_crd_describes(
    observed: Observed, failures: dict[str, tuple[str, str]], type_: str, reason: str, message: str
) -> None:
    TypeAdapter(TTSTenantStatus).validate_python(report(observed))


def test_the_first_cause_that_a_person_must_mend_is_the_one_they_read() -> None:
    observed = observe(known=[], children=running(0), keys=False)
    outcome = Outcome({ref("Service", "acme"): Problem("NameTaken", "taken")})
    said = report(observed, outcome)
    assert problem(said, "Ready") == ("False", "ModelNotFound")
    assert problem(said, "Programmed") == ("False", "NameTaken")


def test_children_that_fail_alike_are_told_in_one_sentence() -> None:
    taken = Problem("NameTaken", "is somebody else's")
    outcome = Outcome({ref("Service", "acme"): taken, ref("ConfigMap", "acme-quota"): taken})
    said = report(observe(children=running()), outcome)
    assert condition(said, "Programmed")["message"] == "cm/acme-quota, svc/acme: is somebody else's"


def test_where_nothing_runs_nothing_is_said_to_go_on() -> None:
    said = report(observe(known=[]))
    assert condition(said, "ModelsResolved")["message"].endswith(
        "correct the name; models that this namespace may use: none"
    )


def test_a_pod_that_is_ready_but_not_routed_to_yet_answers_nobody() -> None:
    children = running()
    child(children, "Deployment", "acme-espeak")["status"]["availableReplicas"] = 0
    said = report(observe(children=children))
    assert problem(said, "Available") == ("False", "Starting")
    assert said["pools"][0]["ready"] == 1


def test_before_a_window_that_needs_more_a_lack_of_room_is_told() -> None:
    """NOON is ten minutes before the window."""
    rush = {"name": "rush", "start": "12:10", "end": "14:00", "minReplicas": 4}
    schedule = {**DAY, "windows": [rush], "preWarmSeconds": 900}
    pods = [pod(**unschedulable(NOON - timedelta(minutes=3)))]
    said = report(observe(children=running(3, schedule=schedule), pods=pods, schedule=schedule))
    assert (said["activeWindow"], said["pools"][0]["min"]) == ("default", 4)
    assert problem(said, "Available") == ("True", "AsSpecified")
    assert problem(said, "Ready") == ("False", "NoCapacityForNextWindow")
    assert condition(said, "Ready")["message"].startswith(
        "window rush opens at 2026-11-04T12:10:00Z with at least 4 replicas, and not all of them run: "
    )
    late = {**schedule, "preWarmSeconds": 60}
    said = report(observe(children=running(2, schedule=late), pods=pods, schedule=late))
    assert problem(said, "Ready") == ("False", "Unschedulable")


def test_some_pods_that_fail_beside_others_that_answer_are_not_passed_over() -> None:
    observed = observe(children=running(2, schedule=DAY), pods=[waits("ErrImagePull", "not found")], schedule=DAY)
    said = report(observed)
    assert problem(said, "Available") == ("True", "AsSpecified")
    assert problem(said, "Ready") == ("False", "ErrImagePull")
    assert condition(said, "Ready")["message"].endswith("the other pods keep serving")
    assert said["pools"][0]["reason"] == "ErrImagePull"


def test_a_surge_that_waits_for_room_says_what_to_do() -> None:
    children = running(1)
    child(children, "Deployment", "acme-espeak")["status"]["updatedReplicas"] = 0
    said = report(observe(children=children, pods=[pod(**unschedulable())]))
    assert problem(said, "Ready") == ("False", "NoRoomToSurge")
    assert "spec.rollout.strategy to Replace" in condition(said, "Ready")["message"]


def test_a_precision_of_a_window_that_finds_no_room_is_told_as_such() -> None:
    """NOON is within the window."""
    known = [model(precisions=[precision("fp32"), precision("int8")])]
    window = {"name": "midday", "start": "11:00", "end": "14:00", "minReplicas": 1, "precision": "int8"}
    schedule = {"default": {"minReplicas": 1}, "windows": [window]}
    children = running(1, schedule=schedule)
    child(children, "Deployment", "acme-espeak")["status"]["updatedReplicas"] = 0
    said = report(observe(known=known, children=children, pods=[pod(**unschedulable())], schedule=schedule))
    assert problem(said, "Ready") == ("False", "PrecisionPending")
    assert condition(said, "Ready")["message"].startswith(
        "window midday of spec.schedule sets int8, and a pod of it finds no room beside those of the last precision"
    )
    assert (said["precision"], said["pools"][0]["precision"]) == ("int8", "int8")


def test_pods_on_their_way_out_are_no_trouble() -> None:
    going = waits("CrashLoopBackOff", exitCode=1)
    going["metadata"]["deletionTimestamp"] = stamp(NOON)
    assert problem(report(observe(children=running(), pods=[going])), "Ready") == ("True", "AsSpecified")


def test_an_autoscaler_without_metrics_only_warns() -> None:
    said = report(observe(children=blind(running(schedule=DAY)), schedule=DAY))
    assert problem(said, "ScalingActive") == ("False", "FailedGetResourceMetric")
    assert "maxReplicas is pinned to 3 until metrics are available" in condition(said, "ScalingActive")["message"]
    assert problem(said, "Ready") == ("True", "AsSpecified")


@pytest.mark.parametrize("bounds", [DAY, None], ids=["a calendar", "fixed bounds"])
def test_an_autoscaler_of_somebody_else_is_named(bounds: Object | None) -> None:
    rival: Object = {
        "metadata": {
            "name": "keda",
            "ownerReferences": [{"kind": "ScaledObject", "name": "theirs", "controller": True}],
        },
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "acme-espeak"}},
    }
    of_another_pool: Object = {**rival, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "other"}}}
    spec: dict[str, Any] = {"schedule": bounds} if bounds else {}
    reading = observe(children=running(**spec), **spec)
    said = report(replace(reading, foreign_autoscalers=[of_another_pool, rival]))
    assert problem(said, "ScalingActive") == ("False", "SecondAutoscaler")
    told = condition(said, "ScalingActive")["message"]
    assert told.startswith("hpa/keda (of ScaledObject theirs) scales deploy/acme-espeak too, and replicas go back and")
    assert problem(said, "Ready") == ("True", "AsSpecified")
    said = report(replace(reading, foreign_autoscalers=[of_another_pool]))
    assert problem(said, "ScalingActive") == ("True", "AsSpecified")


def test_pods_that_several_autoscalers_select_say_what_to_do() -> None:
    children = blind(running(schedule=DAY))
    (ambiguous,) = child(children, "HorizontalPodAutoscaler", "acme-espeak")["status"]["conditions"]
    ambiguous |= {"reason": "AmbiguousSelector", "message": "pods by selector are controlled by multiple HPAs"}
    said = report(observe(children=children, schedule=DAY))
    assert problem(said, "ScalingActive") == ("False", "AmbiguousSelector")
    told = condition(said, "ScalingActive")["message"]
    assert told.startswith("hpa/acme-espeak does not follow the load: pods by selector are controlled by multiple HPAs")
    assert "delete all but one of these HPAs, or change their selectors" in told


def test_fixed_bounds_need_no_metrics() -> None:
    assert problem(report(observe(children=blind(running()))), "ScalingActive") == ("True", "AsSpecified")


def test_what_holds_otherwise_than_the_spec_says_is_told_beside_a_condition_that_holds() -> None:
    said = report(observe(children=running(), quota={"requestsPerMinute": 50}))
    assert problem(said, "Accepted") == ("True", "QuotaClamped")
    assert "exceeds the limit of tier Basic: 10 applies" in condition(said, "Accepted")["message"]


def test_keys_are_missed_only_where_they_are_asked_for_and_can_be_looked_for() -> None:
    children = running()
    assert problem(report(observe(children=children, keys=None)), "Available")[0] == "True"
    assert problem(report(observe(children=children, keys=False, auth={"modes": ["None"]})), "Available")[0] == "True"


def test_a_key_that_does_not_work_beside_others_that_do_only_warns() -> None:
    said = report(observe(children=running(), keys=KeyEntries(2, plain=("mobile",))))
    assert problem(said, "KeysConfigured") == ("False", "KeysUnusable")
    assert problem(said, "Available") == ("True", "AsSpecified")
    assert problem(said, "Ready") == ("True", "AsSpecified")
    assert told(report(observe(children=running())), said) == [("Warning", "KeysUnusable")]
    assert told(said, said) == []
    mended = report(observe(children=running(), before=said))
    assert problem(mended, "KeysConfigured") == ("True", "AsSpecified")


def test_keys_that_nobody_needs_are_not_judged() -> None:
    issuer = {"issuer": "https://id.example", "audience": "speech", "jwksURL": "https://id.example/keys"}
    for auth in ({"modes": ["None"]}, {"modes": ["JWT"], "external": issuer}):
        said = report(observe(children=running(), keys=KeyEntries(), auth=auth))
        assert "KeysConfigured" not in {each["type"] for each in said["conditions"]}
        assert problem(said, "Ready") == ("True", "AsSpecified")
    unreadable = report(observe(children=running(), keys=None))
    assert "KeysConfigured" not in {each["type"] for each in unreadable["conditions"]}


HOLIDAYS = {"name": "holidays", "calendarRef": {"name": "de"}, "minReplicas": 1}
WITH_HOLIDAYS = {"default": {"minReplicas": 3}, "exceptions": [HOLIDAYS]}


def test_a_calendar_that_does_not_exist_only_warns_and_is_one_event() -> None:
    children = running(schedule=WITH_HOLIDAYS)
    said = report(observe(children=children, schedule=WITH_HOLIDAYS))
    assert problem(said, "CalendarsResolved") == ("False", "CalendarNotFound")
    message = condition(said, "CalendarsResolved")["message"]
    assert message.startswith("spec.schedule.exceptions[holidays] refers to TTSCalendar de, which does not exist:")
    assert problem(said, "Ready") == ("True", "AsSpecified")
    assert said["activeWindow"] == "default"
    assert ("Warning", "CalendarNotFound") in told({}, said)
    assert told(said, said) == []
    today = calendar("de", {"name": "a day off", "from": f"{NOON:%Y-%m-%d}"}, {"name": "later", "from": "2027-11-04"})
    mended = report(observe(children=children, schedule=WITH_HOLIDAYS, calendars=[today], before=said))
    assert problem(mended, "CalendarsResolved") == ("True", "AsSpecified")
    assert mended["activeWindow"] == "holidays"
    assert mended["pools"][0]["min"] == mended["pools"][0]["max"] == 1


def test_a_calendar_that_ends_soon_is_told_while_everything_holds() -> None:
    over = calendar("de", {"name": "Labour Day", "from": "2026-05-01"})
    said = report(observe(children=running(), schedule=WITH_HOLIDAYS, calendars=[over]))
    assert problem(said, "CalendarsResolved") == ("True", "CalendarEnds")
    assert "TTSCalendar de has no date after 2026-05-01" in condition(said, "CalendarsResolved")["message"]


def test_a_calendar_that_cannot_be_read_says_why() -> None:
    unread = replace(observe(schedule=WITH_HOLIDAYS), calendar_errors={"de": "spec.dates[0].from: no date"})
    assert problem(report(unread), "CalendarsResolved") == ("False", "CalendarInvalid")


def test_a_schedule_without_calendars_says_nothing_of_them() -> None:
    said = report(observe(children=running(), schedule={"default": {"minReplicas": 3}}))
    assert "CalendarsResolved" not in {each["type"] for each in said["conditions"]}


def test_missing_keys_are_one_event() -> None:
    ready = report(observe(children=running()))
    for keys, reason in ((False, "KeysNotFound"), (KeyEntries(), "KeysUnusable")):
        assert told(ready, report(observe(children=running(), keys=keys))) == [("Warning", reason)]


def test_a_refused_spec_keeps_what_was_said_of_its_last_good_children() -> None:
    before = report(observe(children=running()))
    said = report(observe(children=running(), before=before, preventDeletion=True))
    assert said["pools"] == before["pools"]
    assert problem(said, "Accepted") == ("False", "NotSupportedYet")
    assert problem(said, "Available") == ("True", "AsSpecified")


def test_a_refused_spec_still_tells_that_nobody_answers() -> None:
    said = report(observe(children=running(0), preventDeletion=True))
    assert problem(said, "Available") == ("False", "Starting")


def test_a_refused_spec_suspends_nobody() -> None:
    """A refused spec's suspend is not followed either: the endpoint stays as it was."""
    said = report(observe(children=running(), suspend=True, preventDeletion=True))
    assert problem(said, "Available") == ("True", "AsSpecified")
    asleep = settle(observe(children=running(), suspend=True))
    said = report(observe(children=asleep, suspend=True, preventDeletion=True))
    assert problem(said, "Available") == ("False", "Suspended")


def crashed(restarts: int, lived: timedelta = timedelta(seconds=9), **state: Any) -> Object:
    """Status of a pod whose container has ended with exit code 1 so many times, the last time after this long."""
    last = {"exitCode": 1, "reason": "Error", "startedAt": stamp(NOON - lived), "finishedAt": stamp(NOON)}
    if "terminated" in state:
        return pod(containerStatuses=[{"restartCount": restarts - 1, "ready": False, "state": {"terminated": last}}])
    status = {"restartCount": restarts, "ready": False, "state": state, "lastState": {"terminated": last}}
    return pod(containerStatuses=[status])


def test_a_crash_loop_is_told_once_however_often_the_container_starts() -> None:
    """Between two crashes it runs for a while, or has just ended: that is still the loop, and no news."""
    states: list[Object] = [{"waiting": {"reason": "CrashLoopBackOff"}}, {"running": {}}, {"terminated": {}}]
    told, seen = [], report(observe(children=running(0)))
    for restarts in range(2, 6):
        for state in states:
            crashes = restarts + (1 if "terminated" in state else 0)
            after = report(observe(children=running(0), before=seen, pods=[crashed(crashes, **state)]))
            told += [event.reason for event in events(seen, after)]
            seen = after
    assert told == ["CrashLoopBackOff"]
    assert "ended with exit code 1; read the pod's log" in condition(seen, "Ready")["message"]


def test_a_container_that_starts_again_after_a_long_life_is_in_no_loop() -> None:
    starting = crashed(7, lived=timedelta(minutes=10), running={})
    assert problem(report(observe(children=running(0), pods=[starting])), "Ready") == ("False", "Starting")
    first = crashed(1, running={})
    assert problem(report(observe(children=running(0), pods=[first])), "Ready") == ("False", "Starting")


def test_a_stored_object_that_does_not_parse_gets_a_status_all_the_same() -> None:
    observed = replace(observe(), tenant=None, tenant_error="spec.models: Field required")
    said = status(resolve(observed, SETTINGS, NOON), observed, Outcome())
    assert problem(said, "Ready") == ("False", "Invalid")


def test_a_model_that_went_missing_keeps_the_precision_that_runs() -> None:
    before = report(observe(children=running()))
    said = report(observe(known=[], children=running(), before=before))
    assert (said["precision"], said["pools"][0]["precision"]) == ("fp32", "fp32")


def test_a_condition_keeps_its_time_until_it_changes() -> None:
    before = report(observe(children=running()))
    for each in before["conditions"]:
        each["lastTransitionTime"] = LONG_AGO
    said = report(observe(children=running(), before=before, keys=False))
    times = {each["type"]: each["lastTransitionTime"] for each in said["conditions"]}
    assert times["Available"] == times["Ready"] == stamp(NOON)
    assert times["Accepted"] == times["Programmed"] == LONG_AGO


def test_the_same_reading_gives_the_same_status_later() -> None:
    children = running()
    before = report(observe(children=children))
    assert report(observe(children=children, before=before), later=timedelta(hours=1)) == before


def test_no_status_shows_the_credential() -> None:
    assert "a-token" not in str(report(observe("espeak", "other")))


def told(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str]]:
    return [(event.type, event.reason) for event in events(before, after)]


def test_events_tell_what_changed_and_nothing_else() -> None:
    starting, ready = report(observe()), report(observe(children=running()))
    failing = report(observe(children=running(0), pods=[waits("ErrImagePull", "not found")]))
    assert told({}, starting) == [("Normal", "Starting")]
    assert told(starting, ready) == [("Normal", "Ready")]
    assert told(ready, ready) == []
    assert told(ready, failing) == [("Warning", "ErrImagePull")]


def test_a_window_that_opens_is_an_event() -> None:
    schedule = {"preset": "DayNightWeekend"}
    children = running(schedule=schedule)
    day = report(observe(children=children, schedule=schedule))
    night = report(observe(children=children, schedule=schedule), later=timedelta(hours=13))
    assert events(day, night) == [
        Event("Normal", "WindowChanged", "active window changed from day to night: 1 to 1 replicas of espeak")
    ]


def test_an_autoscaler_that_goes_blind_is_an_event() -> None:
    seeing = report(observe(children=running(schedule=DAY), schedule=DAY))
    blinded = report(observe(children=blind(running(schedule=DAY)), schedule=DAY))
    assert told(seeing, blinded) == [("Warning", "FailedGetResourceMetric")]
    assert told(blinded, blinded) == []


def updating(updated: int, reason: str, *, generation: int = 2, **spec: Any) -> list[Object]:
    """The children of a tenant whose Deployment has three replicas, of which so many are updated."""
    children = running(3, schedule=DAY, **spec)
    deployment = child(children, "Deployment", "acme-espeak")
    deployment["metadata"]["generation"] = 2
    deployment["status"] |= {"observedGeneration": generation, "replicas": 3, "updatedReplicas": updated}
    deployment["status"]["conditions"] = [{"type": "Progressing", "status": "True", "reason": reason}]
    return children


def asleep(**spec: Any) -> Observed:
    """A suspended tenant without pods."""
    return observe(children=settle(observe(children=running(), suspend=True)), suspend=True, **spec)


def stopping() -> list[Object]:
    """The children of a suspended tenant, one pod of which is not deleted yet."""
    children = settle(observe(children=running(), suspend=True))
    child(children, "Deployment", "acme-espeak")["status"]["replicas"] = 1
    return children


PROGRESS: dict[str, tuple[Observed, str, str, str]] = {
    "no pod yet": (observe(), "True", "RollingOut", "deployment acme-espeak is not created yet"),
    "every pod runs it": (
        observe(children=updating(3, "NewReplicaSetAvailable"), schedule=DAY),
        "False",
        "Complete",
        "",
    ),
    "one of three does": (
        observe(children=updating(1, "ReplicaSetUpdated"), schedule=DAY),
        "True",
        "RollingOut",
        "1 of 3 pods of acme-espeak are up to date, 3 are available",
    ),
    "its controller has not seen it": (
        observe(children=updating(3, "NewReplicaSetAvailable", generation=1), schedule=DAY),
        "True",
        "RollingOut",
        "0 of 3 pods of acme-espeak are up to date, 3 are available",
    ),
    "it takes too long": (
        observe(children=updating(0, "ProgressDeadlineExceeded"), schedule=DAY),
        "False",
        "ProgressDeadlineExceeded",
        "0 of 3 pods of acme-espeak are up to date, and no other became ready for ten minutes",
    ),
    "refused": (
        observe(children=updating(1, "ReplicaSetUpdated"), preventDeletion=True),
        "False",
        "NotSupportedYet",
        "the spec is rejected, see condition Accepted: ",
    ),
    "suspended": (asleep(), "False", "Suspended", "no pod runs: spec.suspend is true"),
    "being suspended": (
        observe(children=running(), suspend=True),
        "True",
        "Suspending",
        "the pods of acme-espeak are being stopped",
    ),
    "scaled to zero, and its pods are not gone yet": (
        observe(children=stopping(), suspend=True),
        "True",
        "Suspending",
        "the pods of acme-espeak are being stopped",
    ),
    "its model is gone": (
        observe(known=[], children=running()),
        "False",
        "ModelNotFound",
        "a model cannot be used, see condition ModelsResolved: spec.models names TTSModel espeak",
    ),
    "one of its models is gone, the other is being rolled": (
        observe("espeak", "gone", known=[model()], children=updating(1, "ReplicaSetUpdated"), schedule=DAY),
        "True",
        "RollingOut",
        "1 of 3 pods of acme-espeak are up to date, 3 are available",
    ),
}


@pytest.mark.parametrize(("observed", "status_", "reason", "message"), PROGRESS.values(), ids=PROGRESS)
def test_progress(observed: Observed, status_: str, reason: str, message: str) -> None:
    found = condition(report(observed), "Progressing")
    assert (found["status"], found["reason"]) == (status_, reason)
    assert found["message"].startswith(message)
    assert bool(found["message"]) is bool(message)


def test_a_change_that_was_applied_just_now_is_not_rolled_yet() -> None:
    """The status that first has the new observedGeneration has Progressing, too: no one reads it as done in between."""
    children = updating(3, "NewReplicaSetAvailable")
    applied = {**child(children, "Deployment", "acme-espeak")}
    applied["metadata"] = {**applied["metadata"], "generation": 3}
    observed = observe(children=children, schedule=DAY)
    said = report(observed, Outcome(applied={ref("Deployment", "acme-espeak"): applied}))
    assert problem(said, "Progressing") == ("True", "RollingOut")
    assert said["observedGeneration"] == observed.generation


def test_kstatus_finds_its_own_conditions_only_while_they_are_true() -> None:
    def of_kstatus(observed: Observed) -> dict[str, str]:
        said = report(observed)["conditions"]
        assert all(each["status"] == "True" for each in said if each["type"] in {"Reconciling", "Stalled"})
        return {each["type"]: each["reason"] for each in said if each["type"] in {"Reconciling", "Stalled"}}

    assert of_kstatus(observe(children=running())) == {}
    assert of_kstatus(observe()) == {"Reconciling": "RollingOut"}
    assert of_kstatus(observe(children=updating(1, "ReplicaSetUpdated"), schedule=DAY)) == {"Reconciling": "RollingOut"}
    overdue = observe(children=updating(0, "ProgressDeadlineExceeded"), schedule=DAY)
    assert of_kstatus(overdue) == {"Stalled": "ProgressDeadlineExceeded"}
    assert of_kstatus(observe(children=running(), preventDeletion=True)) == {"Stalled": "NotSupportedYet"}
    assert of_kstatus(observe(known=[])) == {"Reconciling": "ModelNotFound"}, "it may be applied a moment later"
    assert of_kstatus(asleep()) == {}


def generations(said: dict[str, Any]) -> tuple[int | None, int]:
    return said.get("runningGeneration"), said["observedGeneration"]


def test_the_status_tells_which_generation_every_pod_runs() -> None:
    observed = observe(children=updating(3, "NewReplicaSetAvailable"), schedule=DAY)
    now = observed.generation
    complete = report(observed)
    assert generations(complete) == (now, now)
    earlier = {**complete, "runningGeneration": now - 1}
    for unfinished in (
        observe(children=updating(1, "ReplicaSetUpdated"), schedule=DAY, before=earlier),
        observe(children=updating(0, "ProgressDeadlineExceeded"), schedule=DAY, before=earlier),
        observe(children=running(), preventDeletion=True, before=earlier),
        observe(children=running(), known=[], before=earlier),
        observe(children=running(), suspend=True, before=earlier),
    ):
        assert generations(report(unfinished)) == (now - 1, now)
    assert generations(report(asleep(before=earlier))) == (now, now), "no pod runs an earlier one"
    assert generations(report(observe())) == (None, now), "no generation ran yet"


def test_ready_is_not_to_be_taken_for_rolled_out() -> None:
    """The previous pods keep serving, so that the tenant is ready; the reason is what `kubectl get` shows."""
    ready = condition(report(observe(children=updating(1, "ReplicaSetUpdated"), schedule=DAY)), "Ready")
    assert (ready["status"], ready["reason"]) == ("True", "RollingOut")
    assert ready["message"].startswith("not every pod runs the present spec: 1 of 3 pods of acme-espeak are up to date")


def test_a_rollout_that_does_not_come_to_an_end_is_not_ready() -> None:
    """No container of it fails, as the log of a pod with a wrong credential may be all there is to see."""
    overdue = report(observe(children=updating(0, "ProgressDeadlineExceeded"), schedule=DAY))
    assert problem(overdue, "Available") == ("True", "AsSpecified")
    assert problem(overdue, "Ready") == ("False", "ProgressDeadlineExceeded")
    assert condition(overdue, "Ready")["message"].endswith("the previous pods keep serving")


def test_a_suspended_tenant_is_as_its_spec_asks_and_answers_nobody() -> None:
    said = report(asleep())
    assert problem(said, "Ready") == ("True", "Suspended")
    assert problem(said, "Suspended") == ("True", "Suspended")
    assert problem(said, "Available") == ("False", "Suspended")
    assert "spec.suspend is true: set it to false" in condition(said, "Ready")["message"]
    TypeAdapter(TTSTenantStatus).validate_python(said)
    awake = report(observe(children=running(), before=said))
    assert problem(awake, "Ready") == ("True", "AsSpecified")
    assert "Suspended" not in {each["type"] for each in awake["conditions"]}


def test_what_a_person_must_mend_makes_a_suspended_tenant_not_ready() -> None:
    outcome = Outcome({ref("Service", "acme"): Problem("NameTaken", "taken")})
    assert problem(report(asleep(), outcome), "Ready") == ("False", "NameTaken")
    assert problem(report(observe(known=[], suspend=True)), "Ready") == ("False", "ModelNotFound")


def test_pods_that_are_stopped_are_no_failure() -> None:
    observed = observe(children=running(), suspend=True, pods=[waits("CrashLoopBackOff", exitCode=1)])
    assert problem(report(observed), "Ready") == ("True", "Suspended")


def test_a_suspension_and_its_end_are_events_and_a_rollout_is_none() -> None:
    ready, suspended = report(observe(children=running())), report(asleep())
    rolling = report(observe(children=updating(1, "ReplicaSetUpdated"), schedule=DAY))
    assert told(ready, suspended) == [("Normal", "Suspended")]
    assert told(suspended, ready) == [("Normal", "Ready")]
    assert told(ready, rolling) == []
