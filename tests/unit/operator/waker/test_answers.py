"""The waker's decisions on a request, as a table."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tts_operator.objects.keys import Key
from tts_operator.waker.answers import STATUS_SECONDS, Answer, Decision, PassOn, Wait, decide, moment
from tts_operator.waker.tenants import Tenant

NOW = datetime(2026, 11, 5, 1, 30, tzinfo=UTC)
SPEECH = "/v1/audio/speech"
ASLEEP = Tenant(
    key=Key("team-acme", "acme"),
    uid="uid",
    port=20_000,
    at_zero=True,
    wakes_at=NOW + timedelta(hours=3, minutes=30),
    time_zone="Europe/Berlin",
    wake_on_request=False,
    max_wait_seconds=60,
)
WAKES = replace(ASLEEP, wake_on_request=True)
AWAKE = replace(WAKES, at_zero=False, wakes_at=None)

TABLE: dict[str, tuple[Tenant | None, bool, str, float, Decision | tuple[str, int | None]]] = {
    # the story: (tenant, a pod is ready, path, seconds waited, decision, or code and Retry-After of the answer)
    "a pod is ready": (ASLEEP, True, SPEECH, 0, PassOn()),
    "a probe, while a pod is ready": (AWAKE, True, "/healthz", 0, PassOn()),
    "nobody may wake it": (ASLEEP, False, SPEECH, 0, ("scaled_to_zero", 12_600)),
    "nobody may wake it, and it never wakes": (
        replace(ASLEEP, wakes_at=None),
        False,
        SPEECH,
        0,
        ("scaled_to_zero", None),
    ),
    "it was to wake a moment ago": (
        replace(ASLEEP, wakes_at=NOW - timedelta(seconds=2)),
        False,
        SPEECH,
        0,
        ("scaled_to_zero", 1),
    ),
    "a request may wake it": (WAKES, False, SPEECH, 0, Wait(ask=True)),
    "its pod starts": (AWAKE, False, SPEECH, 59.9, Wait(ask=False)),
    "the wait is over at zero": (WAKES, False, SPEECH, 60, ("scaled_to_zero", 10)),
    "the wait is over while the pod starts": (AWAKE, False, SPEECH, 60, ("starting", 10)),
    "a probe wakes nobody": (WAKES, False, "/healthz", 0, ("scaled_to_zero", 12_600)),
    "nor does a page": (WAKES, False, "/", 0, ("scaled_to_zero", 12_600)),
    "nor does a probe while the pod starts": (AWAKE, False, "/readyz", 0, ("starting", 5)),
    "its window has opened, and its pod starts": (
        replace(ASLEEP, at_zero=False, wakes_at=None),
        False,
        SPEECH,
        0,
        ("starting", 5),
    ),
    "a tenant whose status is not read yet": (None, False, SPEECH, STATUS_SECONDS - 0.1, Wait(ask=False)),
    "a port of nobody": (None, False, SPEECH, STATUS_SECONDS, ("unknown_endpoint", 10)),
}


@pytest.mark.parametrize(("tenant", "ready", "path", "waited", "expected"), TABLE.values(), ids=TABLE)
def test_the_decision(
    tenant: Tenant | None, ready: bool, path: str, waited: float, expected: Decision | tuple[str, int | None]
) -> None:
    found = decide(tenant, path, waited, NOW, ready=ready)
    if isinstance(found, Answer):
        assert found.status == 503
        assert (found.code, found.retry_after_seconds) == expected
    else:
        assert found == expected


def test_the_error_has_the_form_of_openai_and_says_when_it_wakes_in_local_time_and_utc() -> None:
    found = decide(ASLEEP, SPEECH, 0, NOW, ready=False)
    assert isinstance(found, Answer)
    assert json.loads(found.body("req_1")) == {
        "error": {
            "message": "The endpoint has no replicas by its schedule until 2026-11-05 06:00 Europe/Berlin"
            " (2026-11-05 05:00 UTC).",
            "type": "server_error",
            "param": None,
            "code": "scaled_to_zero",
            "request_id": "req_1",
        }
    }


def test_a_zone_that_this_waker_does_not_know_is_left_out() -> None:
    assert moment(NOW, "Mars/Olympus") == moment(NOW, "UTC") == "2026-11-05 01:30 UTC"
