"""The operator reports conditions of a TTSModel."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from tests.support.operator_builders import NOON, stamp
from tests.support.resources import model
from tts_operator.api import TTSModel, TTSModelStatus
from tts_operator.objects.problem import Problem
from tts_operator.status.model import model_status

BODY: dict[str, Any] = {"metadata": {"name": "espeak", "generation": 2}}
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
    said = model_status(BODY, parsed, error, 3, NOON)
    TypeAdapter(TTSModelStatus).validate_python(said)
    assert (said["tenants"], said["observedGeneration"]) == (3, 2)
    accepted = next(each for each in said["conditions"] if each["type"] == "Accepted")
    assert (accepted["status"], accepted["reason"], accepted["message"]) == (holds, reason, message)
    assert accepted["lastTransitionTime"] == stamp(NOON)


def test_a_condition_keeps_its_time_until_it_changes() -> None:
    before = model_status(BODY, model(), None, 0, NOON)
    for each in before["conditions"]:
        each["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    again = model_status({**BODY, "status": before}, model(), None, 1, NOON)
    assert {each["lastTransitionTime"] for each in again["conditions"]} == {"2026-01-01T00:00:00Z"}
    assert model_status({**BODY, "status": before}, LATER, None, 1, NOON)["conditions"][0][
        "lastTransitionTime"
    ] == stamp(NOON)


def test_a_model_whose_change_two_tenants_fail_with_is_not_ready() -> None:
    said = model_status(BODY, model(), None, 3, NOON, blocked=Problem("RolloutHalted", "5 tenants wait"))
    assert {each["type"]: each["reason"] for each in said["conditions"]} == {
        "Accepted": "AsSpecified",
        "FallbackResolved": "AsSpecified",
        "Ready": "RolloutHalted",
    }
