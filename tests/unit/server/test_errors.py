"""The map to HTTP knows every error of the tree, and every answer has one shape."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from starlette.exceptions import HTTPException

from tts_server import errors
from tts_server.errors import EngineCrashed, EngineTimeout, QuotaExceeded, RequestError, TTSError, VoiceNotFound
from tts_server.http.errors import BodyTooLarge, error_response, status_of


def tree(kind: type[TTSError] = TTSError) -> Iterator[type[TTSError]]:
    for child in kind.__subclasses__():
        yield child
        yield from tree(child)


KINDS = sorted(tree(), key=lambda kind: kind.__name__)


def made(kind: type[TTSError]) -> TTSError:
    if issubclass(kind, QuotaExceeded):
        return kind("Used up.", limit="requestsPerMinute", retry_after_seconds=0.2)
    return kind("What, where and what to do.")


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_a_status_of_its_own_and_none_is_500(kind: type[TTSError]) -> None:
    status = status_of(kind)
    assert status != 500
    assert (status < 500) == (issubclass(kind, RequestError | errors.Unauthenticated | errors.PermissionDenied
                                         | QuotaExceeded | errors.TextUnreadable))  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_leaves_in_one_shape(kind: type[TTSError]) -> None:
    reply = error_response(made(kind), "id-1")
    error = json.loads(bytes(reply.body))["error"]
    of_limits = ["limit", "resets_at"] if issubclass(kind, QuotaExceeded) else []
    assert list(error) == ["message", "type", "param", "code", "request_id", *of_limits]
    assert error["code"] == kind.code
    assert error["request_id"] == "id-1"


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in KINDS)


def test_a_wait_is_rounded_up_so_that_waiting_helps() -> None:
    reply = error_response(QuotaExceeded("Used up.", limit="x", retry_after_seconds=3.01), "id-1")
    assert reply.headers["retry-after"] == "4"
    assert reply.headers["ratelimit"] == '"x";r=0;t=4'


@pytest.mark.parametrize(("microsecond", "shown"), [(0, "10:00:00"), (1, "10:00:01"), (999_999, "10:00:01")])
def test_a_limit_is_not_said_to_be_back_before_it_is(microsecond: int, shown: str) -> None:
    moment = datetime(2026, 11, 22, 10, 0, 0, microsecond, UTC)
    reply = error_response(QuotaExceeded("Used up.", limit="x", retry_after_seconds=3, resets_at=moment), "id-1")
    assert json.loads(bytes(reply.body))["error"]["resets_at"] == f"2026-11-22T{shown}+00:00"


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (VoiceNotFound("No.", param="voice"), 400, "invalid_request_error"),
        (errors.ModelNotFound("No."), 404, "invalid_request_error"),
        (errors.Unauthenticated("No."), 401, "authentication_error"),
        (EngineTimeout("No."), 504, "server_error"),
        (EngineCrashed("No."), 502, "server_error"),
        (HTTPException(405, headers={"Allow": "POST"}), 405, "invalid_request_error"),
        (BodyTooLarge("No."), 413, "invalid_request_error"),
        (ZeroDivisionError("secret"), 500, "server_error"),
    ],
)
def test_openai_clients_find_the_type_they_know(error: Exception, status: int, kind: str) -> None:
    reply = error_response(error, "id-1")
    assert reply.status_code == status
    assert json.loads(bytes(reply.body))["error"]["type"] == kind
    assert b"secret" not in bytes(reply.body)
