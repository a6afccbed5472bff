"""What the API server answers becomes a reason that a person can act on."""

from __future__ import annotations

import pytest

from tts_operator.cluster.errors import MAX_MESSAGE_CHARACTERS, Conflict, NotFound, Refused, Unreachable, error_of

ANSWERS: dict[str, tuple[int, str, str, str]] = {
    # the story           code, stated reason, message, reason for people
    "quota": (403, "Forbidden", 'pods "a" is forbidden: exceeded quota: small, requested: cpu=1', "QuotaExceeded"),
    "namespace going": (403, "Forbidden", "unable: namespace x because it is being terminated", "NamespaceTerminating"),
    "policy": (422, "Invalid", "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no", "AdmissionDenied"),
    "webhook": (403, "Forbidden", 'admission webhook "w" denied the request: no', "AdmissionDenied"),
    "silent webhook": (500, "InternalError", 'failed calling webhook "w": timeout', "InternalError"),
    "permission": (403, "Forbidden", 'User "operator" cannot patch resource "services"', "Forbidden"),
    "bad object": (422, "Invalid", "spec.ports: Invalid value", "Invalid"),
    "no reason at all": (422, "", "", "Invalid"),
}


@pytest.mark.parametrize(("code", "stated", "message", "reason"), ANSWERS.values(), ids=ANSWERS)
def test_a_refusal_has_a_reason(code: int, stated: str, message: str, reason: str) -> None:
    error = error_of(code, {"reason": stated, "message": message})
    assert isinstance(error, Refused)
    assert error.problem.reason == reason


@pytest.mark.parametrize("code", [401, 429, 502, 503, 504])
def test_a_server_in_trouble_says_nothing_about_the_request(code: int) -> None:
    assert isinstance(error_of(code, {"message": "later"}), Unreachable)


def test_absence_and_conflict_are_types_of_their_own() -> None:
    assert isinstance(error_of(404, None), NotFound)
    assert isinstance(error_of(409, {"reason": "Conflict", "message": "modified"}), Conflict)


def test_a_message_has_a_bound() -> None:
    assert len(str(error_of(422, {"reason": "", "message": "x" * 10_000}))) < MAX_MESSAGE_CHARACTERS + 20
