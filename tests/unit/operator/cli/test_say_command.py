"""Refusals of `kubectl tts say`: its own, before it sends anything, and those of an endpoint."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tts_operator.cli.command import CommandError, ExitStatus
from tts_operator.cli.kubectl_tts import main
from tts_operator.cli.say_command import check, format_of
from tts_operator.cli.speech_request import RefusedError
from tts_operator.fleet.tenant_view import TenantView


def tenant(modes: list[str] | None = None, **status: Any) -> TenantView:
    spec = {"auth": {"modes": modes}} if modes else {}
    return TenantView({"metadata": {"name": "acme", "namespace": "team-acme"}, "spec": spec, "status": status})


def pools(ready: int) -> list[dict[str, Any]]:
    return [{"model": "espeak", "role": "Entry", "ready": ready}]


SUSPENDED: dict[str, Any] = {"conditions": [{"type": "Suspended", "status": "True"}]}


@pytest.mark.parametrize(
    ("seen", "has_key", "problem", "status"),
    [
        (tenant(), False, "acme asks for an API key, and its Secret acme-keys has only hashes", ExitStatus.FAILED),
        (tenant(**SUSPENDED), True, "kubectl tts resume acme -n team-acme brings them back", ExitStatus.TRY_LATER),
        (tenant(pools=pools(0)), True, "acme has no ready replica; kubectl tts why acme", ExitStatus.TRY_LATER),
        (
            tenant(pools=pools(0), waker={"atZero": True, "wakesAt": "2026-12-01T06:00:00Z"}),
            True,
            "the schedule of acme has no replicas now; it has some again at 2026-12-01T06:00:00Z",
            ExitStatus.TRY_LATER,
        ),
    ],
)
def test_what_cannot_work_is_refused_before_it_is_sent(
    seen: TenantView, has_key: bool, problem: str, status: ExitStatus
) -> None:
    with pytest.raises(CommandError) as refused:
        check(seen, has_key=has_key, forwards=True)
    assert problem in str(refused.value)
    assert refused.value.status == status


def test_a_tenant_without_authentication_needs_no_key() -> None:
    check(tenant(["None"], pools=pools(1)), has_key=False, forwards=True)


def test_an_address_may_lead_to_a_waker() -> None:
    check(tenant(pools=pools(0)), has_key=True, forwards=False)


def test_a_refusal_says_when_to_try_again() -> None:
    body = json.dumps({"error": {"message": "100 requests a minute are allowed.", "code": "rate_limit_exceeded"}})
    error = RefusedError(429, {"Retry-After": "12"}, body.encode())
    assert error.problems == (
        "the endpoint answered 429 (rate_limit_exceeded): 100 requests a minute are allowed. Try again in 12 seconds.",
    )
    assert error.status == ExitStatus.TRY_LATER
    assert RefusedError(400, {}, body.encode()).status == ExitStatus.FAILED
    assert "answered 502: Bad gateway." in str(RefusedError(502, {}, b"Bad gateway"))


@pytest.mark.parametrize(
    ("wanted", "output", "play", "format_"),
    [
        (None, None, False, "mp3"),
        (None, None, True, "wav"),
        (None, "a.FLAC", False, "flac"),
        (None, "-", False, "mp3"),
        ("opus", "a.bin", False, "opus"),
    ],
)
def test_the_format_follows_from_the_name_of_the_file(
    wanted: str | None, output: str | None, play: bool, format_: str
) -> None:
    assert format_of(wanted, output, play=play) == format_


def test_a_name_without_a_format_says_what_to_write(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["say", "acme", "Hello.", "-o", "a.doc"]) == 1
    assert capsys.readouterr().err.startswith("error: -o a.doc: no format has this ending; use mp3, wav,")


def test_an_empty_text_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["say", "acme", " "]) == 1
    assert capsys.readouterr().err == "error: the text is empty\n"
