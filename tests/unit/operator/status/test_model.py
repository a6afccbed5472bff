"""The operator reports conditions of a TTSModel."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter

from tests.support.operator_builders import NOON, stamp
from tests.support.resources import model, model_body, stored
from tts_operator.api import TTSModel, TTSModelStatus
from tts_operator.objects.problem import Problem
from tts_operator.rollout.situation import Mode
from tts_operator.snapshot.pod_starts import PodStart
from tts_operator.status.model import Report, Usage, in_order, model_status, own_part

BODY: dict[str, Any] = {"metadata": {"name": "espeak", "generation": 2}}
US, THEM = "fleet/tts-operator", "other/tts-operator"
LATER = model(pool={})
SAID: dict[str, tuple[TTSModel | None, str | None, str, str, str]] = {
    "it can be served": (model(), None, "True", "AsSpecified", ""),
    "its engines have room": (model(memoryLimit="148Mi"), None, "True", "AsSpecified", ""),
    "its engines may outgrow a pod": (
        model(memoryLimit="149Mi"),
        None,
        "True",
        "MemoryTight",
        "spec.precisions[fp32]: limits.memory 448Mi is less than 449Mi (1 x memoryLimit 149Mi and 300Mi for the"
        " server), so the kernel may kill pods: raise limits.memory or lower memoryLimit",
    ),
    "it needs what comes later": (
        LATER,
        None,
        "False",
        "NotSupportedYet",
        "spec.pool: not supported yet; change or remove it",
    ),
    "it does not parse": (None, "spec.voices: Field required", "False", "Invalid", "spec.voices: Field required"),
}


def report(parsed: TTSModel | None, usage: Usage, error: str | None = None) -> Report:
    return Report(US, usage, parsed, error)


@pytest.mark.parametrize(("parsed", "error", "holds", "reason", "message"), SAID.values(), ids=SAID)
def test_accepted(parsed: TTSModel | None, error: str | None, holds: str, reason: str, message: str) -> None:
    said = model_status(BODY, report(parsed, Usage(3), error), NOON)
    TypeAdapter(TTSModelStatus).validate_python(said)
    assert (said["tenants"], said["observedGeneration"]) == (3, 2)
    accepted = next(each for each in said["conditions"] if each["type"] == "Accepted")
    assert (accepted["status"], accepted["reason"], accepted["message"]) == (holds, reason, message)
    assert accepted["lastTransitionTime"] == stamp(NOON)


def test_a_condition_keeps_its_time_until_it_changes() -> None:
    before = model_status(BODY, report(model(), Usage(0)), NOON)
    for each in (*before["conditions"], *before["releases"][0]["conditions"]):
        each["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    again = model_status({**BODY, "status": before}, report(model(), Usage(1)), NOON)
    assert {each["lastTransitionTime"] for each in again["conditions"]} == {"2026-01-01T00:00:00Z"}
    assert model_status({**BODY, "status": before}, report(LATER, Usage(1)), NOON)["conditions"][0][
        "lastTransitionTime"
    ] == stamp(NOON)


def starting(*seconds: int, after: timedelta = timedelta()) -> tuple[PodStart, ...]:
    """Starts of pods, a minute apart."""
    times = (NOON + after + timedelta(minutes=number) for number in range(len(seconds)))
    return tuple(PodStart(f"pod-{at}", "espeak", at, each) for at, each in zip(times, seconds, strict=True))


def test_the_load_time_follows_from_the_last_starts_of_every_release() -> None:
    ours = model_status(BODY, Report(US, Usage(1), model(), starts=starting(31, 12)), NOON)
    TypeAdapter(TTSModelStatus).validate_python(ours)
    assert ours["loadSeconds"] == 35, "the longest, rounded up"
    assert ours["releases"][0]["startSeconds"] == [31, 12]
    assert ours["releases"][0]["lastStartTime"] == stamp(NOON + timedelta(minutes=1))
    theirs = model_status({**BODY, "status": ours}, Report(THEM, Usage(1), model(), starts=starting(61)), NOON)
    assert theirs["loadSeconds"] == 75
    again = model_status({**BODY, "status": theirs}, Report(US, Usage(1), model()), NOON)
    assert again == theirs, "releases that read the same write the same"


def test_of_many_starts_the_last_twenty_are_kept_and_one_slow_one_does_not_count() -> None:
    before: dict[str, Any] = {}
    for number, seconds in enumerate([3000, *[20] * 19, 900, *[10] * 19]):
        new = starting(seconds, after=timedelta(hours=number))
        before = model_status({**BODY, "status": before}, Report(US, Usage(1), model(), starts=new), NOON)
        assert before["loadSeconds"] == (3000 if number < 19 else 20 if number < 39 else 10)
    assert before["releases"][0]["startSeconds"] == [900, *[10] * 19]


def test_a_model_of_which_no_pod_has_started_has_no_load_time() -> None:
    said = model_status(BODY, report(model(), Usage(1)), NOON)
    assert "loadSeconds" not in said
    assert "startSeconds" not in said["releases"][0]


def test_a_model_whose_change_two_tenants_fail_with_is_not_ready() -> None:
    usage = Usage(3, 1, Problem("RolloutHalted", "2 tenants are queued."))
    said = model_status(BODY, report(model(), usage), NOON)
    assert {each["type"]: each["reason"] for each in said["conditions"]} == {
        "Accepted": "AsSpecified",
        "FallbackResolved": "AsSpecified",
        "Servable": "AsSpecified",
        "RolledOut": "RolloutHalted",
        "Ready": "RolloutHalted",
    }


TRUNCATED = Problem("EngineNotStarted", "the engine does not start: heart.onnx is not an ONNX graph")
NOT_FETCHED = Problem("ModelNotFetched", "heart.onnx does not exist")
SERVABLE: dict[str, tuple[Usage, tuple[str, str, str], str]] = {
    # the story: (usage, the condition Servable, the reason of Ready)
    "every pod starts": (Usage(3), ("True", "AsSpecified", ""), "AsSpecified"),
    "those of one tenant do not": (
        Usage(3, start_failures=(TRUNCATED,)),
        ("False", "EngineNotStarted", f"pods of 1 of 3 tenants do not start: {TRUNCATED.message}"),
        "AsSpecified",
    ),
    "those of no tenant do": (
        Usage(2, start_failures=(TRUNCATED, TRUNCATED)),
        ("False", "EngineNotStarted", f"pods of 2 of 2 tenants do not start: {TRUNCATED.message}"),
        "EngineNotStarted",
    ),
    "there is more than one cause": (
        Usage(4, start_failures=(NOT_FETCHED, TRUNCATED, TRUNCATED)),
        (
            "False",
            "EngineNotStarted",
            f"pods of 3 of 4 tenants do not start: {TRUNCATED.message} (2); {NOT_FETCHED.message} (1)",
        ),
        "AsSpecified",
    ),
    "there are many causes": (
        Usage(9, start_failures=tuple(Problem("ModelNotFetched", f"cause {number}") for number in range(5))),
        (
            "False",
            "ModelNotFetched",
            "pods of 5 of 9 tenants do not start: cause 0 (1); cause 1 (1); cause 2 (1); and 2 other causes",
        ),
        "AsSpecified",
    ),
}


@pytest.mark.parametrize(("usage", "condition", "ready"), SERVABLE.values(), ids=SERVABLE)
def test_whether_pods_of_the_tenants_start(usage: Usage, condition: tuple[str, str, str], ready: str) -> None:
    said = model_status(BODY, report(model(), usage), NOON)
    TypeAdapter(TTSModelStatus).validate_python(said)
    found = {each["type"]: each for each in said["conditions"]}
    assert (found["Servable"]["status"], found["Servable"]["reason"], found["Servable"]["message"]) == condition
    assert found["Ready"]["reason"] == ready


def test_what_was_known_of_pods_stays_until_every_tenant_was_read() -> None:
    """An operator that has just started reads its models before some of their tenants."""
    before = model_status(BODY, report(model(), Usage(2, start_failures=(TRUNCATED,))), NOON)
    after = model_status({**BODY, "status": before}, report(model(), Usage(2, unread=True)), NOON)
    assert after == before
    known = model_status({**BODY, "status": before}, report(model(), Usage(2)), NOON)
    assert {each["type"]: each["status"] for each in known["conditions"]}["Servable"] == "True"


def test_two_releases_that_read_the_same_reports_write_the_same() -> None:
    """Each keeps its own entry, and neither has a reason to write after the other."""
    first = model_status(BODY, Report(US, Usage(1), model()), NOON)
    both = model_status({**BODY, "status": first}, Report(THEM, Usage(10), model()), NOON)
    assert both["tenants"] == 11
    assert [(each["name"], each["tenants"]) for each in both["releases"]] == [(US, 1), (THEM, 10)]
    for report in (Report(US, Usage(1), model()), Report(THEM, Usage(10), model())):
        later = NOON + timedelta(hours=1)
        assert model_status({**BODY, "status": both}, report, later) == both
    assert own_part(both, US) == {**both, "releases": both["releases"][:1]}


def test_a_model_is_rolled_out_once_it_is_for_the_tenants_of_every_release() -> None:
    ours, theirs = report(model(), Usage(4, 4)), Report(THEM, Usage(10, 3), model())
    both = model_status({**BODY, "status": model_status(BODY, theirs, NOON)}, ours, NOON)
    assert (both["tenants"], both["updatedTenants"]) == (14, 7)
    assert [each["updatedTenants"] for each in both["releases"]] == [4, 3]
    conditions = {each["type"]: each for each in both["conditions"]}
    assert conditions["RolledOut"]["message"] == "3 of 10 tenants run the model's last change"
    assert conditions["Ready"]["status"] == "True"
    for each in (ours, theirs):
        assert model_status({**BODY, "status": both}, each, NOON + timedelta(hours=1)) == both
    done = model_status({**BODY, "status": both}, Report(THEM, Usage(10, 10), model()), NOON)
    assert done["updatedTenants"] == 14
    assert {each["type"]: each["status"] for each in done["conditions"]}["RolledOut"] == "True"


def test_the_reports_of_a_status_are_compared_in_one_order() -> None:
    both = model_status(
        {**BODY, "status": model_status(BODY, Report(THEM, Usage(10), model()), NOON)},
        Report(US, Usage(1), model()),
        NOON,
    )
    stored = {**both, "releases": both["releases"][::-1]}
    assert in_order(stored) == both
    assert in_order(None) == {}


def test_a_problem_of_one_release_is_the_models() -> None:
    halted = Report(THEM, Usage(10, blocked=Problem("RolloutHalted", "5 tenants wait")), model())
    status = model_status({**BODY, "status": model_status(BODY, halted, NOON)}, Report(US, Usage(1), model()), NOON)
    assert {each["type"]: each["reason"] for each in status["conditions"]}["Ready"] == "RolloutHalted"


def test_the_report_of_a_release_that_is_gone_counts_only_until_the_model_changes() -> None:
    gone = Report(THEM, Usage(10), LATER)
    before = model_status(BODY, gone, NOON)
    changed = {"metadata": {"name": "espeak", "generation": 3}, "status": before}
    status = model_status(changed, Report(US, Usage(1), model()), NOON)
    assert status["tenants"] == 1
    assert {each["status"] for each in status["conditions"]} == {"True"}


def test_a_status_of_a_release_without_reports_keeps_its_times() -> None:
    """Written by a version of the operator that had no entries."""
    before = model_status(BODY, Report(US, Usage(3), model()), NOON)
    del before["releases"]
    after = model_status({**BODY, "status": before}, Report(US, Usage(3), model()), NOON + timedelta(hours=1))
    assert after["conditions"] == before["conditions"]


def annotated(mode: str) -> TTSModel:
    body = stored(model_body())
    body["metadata"]["annotations"] = {"ttsfleet.io/rollout-mode": mode}
    return TTSModel.model_validate(body)


FAILING = "the change of TTSModel espeak failed on 1 tenant, such as team-a/acme"
HALT = Problem("RolloutHalted", "2 tenants are queued. Rollout paused: the rest.")
ROLLED_OUT: dict[str, tuple[TTSModel | None, Usage, tuple[str, str, str]]] = {
    "everybody runs it": (model(), Usage(3, 3), ("True", "AsSpecified", "")),
    "nobody uses it": (model(), Usage(0, 0), ("True", "AsSpecified", "")),
    "some run it": (
        model(),
        Usage(8, 3),
        ("False", "RollingOut", "3 of 8 tenants run the model's last change"),
    ),
    "one fails": (
        model(),
        Usage(8, 3, failing=FAILING),
        ("False", "RollingOut", f"3 of 8 tenants run the model's last change; {FAILING}"),
    ),
    "it is halted": (
        model(),
        Usage(8, 3, HALT),
        ("False", "RolloutHalted", f"3 of 8 tenants run the model's last change; {HALT.message}"),
    ),
    "it is paused": (
        annotated("Paused"),
        Usage(8, 3),
        (
            "False",
            "RolloutPaused",
            "3 of 8 tenants run the model's last change; the annotation ttsfleet.io/rollout-mode pauses the rollout:"
            " remove the annotation ttsfleet.io/rollout-mode to resume",
        ),
    ),
    "it is let go at once": (
        annotated("Unlimited"),
        Usage(8, 8),
        (
            "True",
            "RolloutUnlimited",
            "the annotation ttsfleet.io/rollout-mode is Unlimited, for later changes too: remove it to limit them"
            " again",
        ),
    ),
    "it is not read": (None, Usage(8), ("True", "AsSpecified", "")),
}


@pytest.mark.parametrize(("parsed", "usage", "expected"), ROLLED_OUT.values(), ids=ROLLED_OUT)
def test_how_far_a_change_is(parsed: TTSModel | None, usage: Usage, expected: tuple[str, str, str]) -> None:
    said = model_status(BODY, report(parsed, usage, None if parsed else "spec: bad"), NOON)
    TypeAdapter(TTSModelStatus).validate_python(said)
    found = next(each for each in said["conditions"] if each["type"] == "RolledOut")
    assert (found["status"], found["reason"], found["message"]) == expected
    assert said.get("updatedTenants") == said["releases"][0].get("updatedTenants") == usage.updated


def test_a_rollout_mode_that_is_none_is_told() -> None:
    said = model_status(BODY, report(annotated("pause"), Usage(1, 1)), NOON)
    accepted = next(each for each in said["conditions"] if each["type"] == "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("True", "RolloutModeUnknown")
    assert all(mode in accepted["message"] for mode in Mode)
