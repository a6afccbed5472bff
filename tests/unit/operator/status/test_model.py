"""The operator reports conditions of a TTSModel."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from tests.support.operator_builders import NOON, stamp
from tests.support.resources import model, model_body, stored
from tts_operator.api import TTSModel, TTSModelStatus
from tts_operator.objects.problem import Problem
from tts_operator.rollout.situation import Mode
from tts_operator.status.model import Usage, model_status

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
    said = model_status(BODY, parsed, error, Usage(3), NOON)
    TypeAdapter(TTSModelStatus).validate_python(said)
    assert (said["tenants"], said["observedGeneration"]) == (3, 2)
    accepted = next(each for each in said["conditions"] if each["type"] == "Accepted")
    assert (accepted["status"], accepted["reason"], accepted["message"]) == (holds, reason, message)
    assert accepted["lastTransitionTime"] == stamp(NOON)


def test_a_condition_keeps_its_time_until_it_changes() -> None:
    before = model_status(BODY, model(), None, Usage(0), NOON)
    for each in before["conditions"]:
        each["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    again = model_status({**BODY, "status": before}, model(), None, Usage(1), NOON)
    assert {each["lastTransitionTime"] for each in again["conditions"]} == {"2026-01-01T00:00:00Z"}
    assert model_status({**BODY, "status": before}, LATER, None, Usage(1), NOON)["conditions"][0][
        "lastTransitionTime"
    ] == stamp(NOON)


def test_a_model_whose_change_two_tenants_fail_with_is_not_ready() -> None:
    said = model_status(BODY, model(), None, Usage(3, 1, Problem("RolloutHalted", "2 tenants are queued.")), NOON)
    assert {each["type"]: each["reason"] for each in said["conditions"]} == {
        "Accepted": "AsSpecified",
        "FallbackResolved": "AsSpecified",
        "RolledOut": "RolloutHalted",
        "Ready": "RolloutHalted",
    }


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
    said = model_status(BODY, parsed, None if parsed else "spec: bad", usage, NOON)
    TypeAdapter(TTSModelStatus).validate_python(said)
    found = next(each for each in said["conditions"] if each["type"] == "RolledOut")
    assert (found["status"], found["reason"], found["message"]) == expected
    assert said.get("updatedTenants") == usage.updated


def test_a_rollout_mode_that_is_none_is_told() -> None:
    said = model_status(BODY, annotated("pause"), None, Usage(1, 1), NOON)
    accepted = next(each for each in said["conditions"] if each["type"] == "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("True", "RolloutModeUnknown")
    assert all(mode in accepted["message"] for mode in Mode)
