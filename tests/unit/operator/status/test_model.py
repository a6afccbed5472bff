"""The operator reports conditions of a TTSModel."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter

from tests.support.operator_builders import NOON, stamp
from tests.support.resources import model
from tts_operator.api import TTSModel, TTSModelStatus
from tts_operator.objects.problem import Problem
from tts_operator.status.model import Report, in_order, model_status, own_part

BODY: dict[str, Any] = {"metadata": {"name": "espeak", "generation": 2}}
US, THEM = "fleet/tts-operator", "other/tts-operator"
LATER = model(accelerator={"nodeSelector": {"gpu": "yes"}})
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
        "spec.accelerator: not supported yet; change or remove it",
    ),
    "it does not parse": (None, "spec.voices: Field required", "False", "Invalid", "spec.voices: Field required"),
}


@pytest.mark.parametrize(("parsed", "error", "holds", "reason", "message"), SAID.values(), ids=SAID)
def test_accepted(parsed: TTSModel | None, error: str | None, holds: str, reason: str, message: str) -> None:
    said = model_status(BODY, Report(US, 3, parsed, error), NOON)
    TypeAdapter(TTSModelStatus).validate_python(said)
    assert (said["tenants"], said["observedGeneration"]) == (3, 2)
    accepted = next(each for each in said["conditions"] if each["type"] == "Accepted")
    assert (accepted["status"], accepted["reason"], accepted["message"]) == (holds, reason, message)
    assert accepted["lastTransitionTime"] == stamp(NOON)


def test_a_condition_keeps_its_time_until_it_changes() -> None:
    before = model_status(BODY, Report(US, 0, model()), NOON)
    for each in (*before["conditions"], *before["releases"][0]["conditions"]):
        each["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    again = model_status({**BODY, "status": before}, Report(US, 1, model()), NOON)
    assert {each["lastTransitionTime"] for each in again["conditions"]} == {"2026-01-01T00:00:00Z"}
    assert model_status({**BODY, "status": before}, Report(US, 1, LATER), NOON)["conditions"][0][
        "lastTransitionTime"
    ] == stamp(NOON)


def test_a_model_whose_change_two_tenants_fail_with_is_not_ready() -> None:
    said = model_status(BODY, Report(US, 3, model(), blocked=Problem("RolloutHalted", "5 tenants wait")), NOON)
    assert {each["type"]: each["reason"] for each in said["conditions"]} == {
        "Accepted": "AsSpecified",
        "FallbackResolved": "AsSpecified",
        "Ready": "RolloutHalted",
    }


def test_two_releases_that_read_the_same_reports_write_the_same() -> None:
    """Each keeps its own entry, and neither has a reason to write after the other."""
    first = model_status(BODY, Report(US, 1, model()), NOON)
    both = model_status({**BODY, "status": first}, Report(THEM, 10, model()), NOON)
    assert both["tenants"] == 11
    assert [(each["name"], each["tenants"]) for each in both["releases"]] == [(US, 1), (THEM, 10)]
    for report in (Report(US, 1, model()), Report(THEM, 10, model())):
        later = NOON + timedelta(hours=1)
        assert model_status({**BODY, "status": both}, report, later) == both
    assert own_part(both, US) == {**both, "releases": both["releases"][:1]}


def test_the_reports_of_a_status_are_compared_in_one_order() -> None:
    both = model_status(
        {**BODY, "status": model_status(BODY, Report(THEM, 10, model()), NOON)}, Report(US, 1, model()), NOON
    )
    stored = {**both, "releases": both["releases"][::-1]}
    assert in_order(stored) == both
    assert in_order(None) == {}


def test_a_problem_of_one_release_is_the_models() -> None:
    halted = Report(THEM, 10, model(), blocked=Problem("RolloutHalted", "5 tenants wait"))
    status = model_status({**BODY, "status": model_status(BODY, halted, NOON)}, Report(US, 1, model()), NOON)
    assert {each["type"]: each["reason"] for each in status["conditions"]}["Ready"] == "RolloutHalted"


def test_the_report_of_a_release_that_is_gone_counts_only_until_the_model_changes() -> None:
    gone = Report(THEM, 10, LATER)
    before = model_status(BODY, gone, NOON)
    changed = {"metadata": {"name": "espeak", "generation": 3}, "status": before}
    status = model_status(changed, Report(US, 1, model()), NOON)
    assert status["tenants"] == 1
    assert {each["status"] for each in status["conditions"]} == {"True"}


def test_a_status_of_a_release_without_reports_keeps_its_times() -> None:
    """Written by a version of the operator that had no entries."""
    before = model_status(BODY, Report(US, 3, model()), NOON)
    del before["releases"]
    after = model_status({**BODY, "status": before}, Report(US, 3, model()), NOON + timedelta(hours=1))
    assert after["conditions"] == before["conditions"]
