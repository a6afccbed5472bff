"""Maps every error to its HTTP answer: the only such map, and one shape for every 4xx and 5xx."""

import json
import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import ClassVar

from starlette.exceptions import HTTPException
from starlette.responses import Response

from tts_server.errors import (
    AudioGone,
    DayQuotaExceeded,
    EngineError,
    EngineNotReady,
    EngineTimeout,
    InvalidGrant,
    InvalidToken,
    ModelNotFound,
    PermissionDenied,
    QuotaExceeded,
    Refused,
    RequestError,
    StorageUnavailable,
    TextUnreadable,
    TooManyFailures,
    TTSError,
    Unauthenticated,
)
from tts_server.http.rate_limit_headers import refusal_headers

# ruff: noqa: N818 - the kinds name what is wrong; "Error" on each would say nothing

STATUS: Mapping[type[TTSError], int] = {
    RequestError: 400,
    ModelNotFound: 404,
    AudioGone: 410,
    Unauthenticated: 401,
    InvalidGrant: 400,  # RFC 6749, section 5.2
    TooManyFailures: 429,
    PermissionDenied: 403,
    Refused: 503,
    QuotaExceeded: 429,
    StorageUnavailable: 503,
    TextUnreadable: 400,
    EngineError: 502,
    EngineNotReady: 503,
    EngineTimeout: 504,
}
TYPES: Mapping[int, str] = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
"""OpenAI's words for `type`; other 4xx are invalid_request_error, 5xx server_error."""
NO_PATH = "No such path. The API's paths begin with /v1/."
"""Usually a client of OpenAI's whose base address lacks /v1 gets this answer."""


class HTTPError(Exception):
    """A request that is refused for its HTTP, not for what it asks for; each kind has its status and code."""

    status: ClassVar[int]
    code: ClassVar[str]

    def __init__(self, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.headers = dict(headers or {})


class InvalidHTTP(HTTPError):
    """Bytes that are not HTTP/1.1, a request without one `Host`, or too many pipelined requests."""

    status, code = 400, "invalid_http"


class IncompleteBody(HTTPError):
    """A body whose connection ended before it did."""

    status, code = 400, "incomplete_body"


class NotFound(HTTPError):
    """A path that this server does not have, or has turned off."""

    status, code = 404, "not_found"

    def __init__(self) -> None:
        super().__init__(NO_PATH)


class BodyTimeout(HTTPError):
    """A body that takes longer than `READ_SECONDS`."""

    status, code = 408, "request_timeout"


class BodyTooLarge(HTTPError):
    """A body above the limit."""

    status, code = 413, "body_too_large"


class PathTooLong(HTTPError):
    """A path, with its query, above the limit of a connection."""

    status, code = 414, "path_too_long"


class UnsupportedMediaType(HTTPError):
    """A body of another type, charset or encoding."""

    status, code = 415, "unsupported_media_type"


class RangeNotSatisfiable(HTTPError):
    """A range that begins behind the end of the audio."""

    status, code = 416, "range_not_satisfiable"


class HeadersTooLarge(HTTPError):
    """A request whose head is above the limits of a connection."""

    status, code = 431, "headers_too_large"


class UnsupportedTransferEncoding(HTTPError):
    """A body in a transfer coding other than chunked (RFC 9112, section 6.1)."""

    status, code = 501, "unsupported_transfer_encoding"


class TooManyConnections(HTTPError):
    """A connection above the limit while every other one processes a request, or a body while too many others wait."""

    status, code = 503, "too_many_connections"


def status_of(kind: type[TTSError]) -> int:
    """Return the status of the nearest ancestor in `STATUS`; 500 for an error without one."""
    return next((STATUS[ancestor] for ancestor in kind.__mro__ if ancestor in STATUS), 500)


def error_object(error: Exception, request_id: str) -> dict[str, object]:
    """Describe an error as it stands under `error`, in a body or in the last event of a stream."""
    status, message, code = describe(error)
    fallback = "server_error" if status >= 500 else "invalid_request_error"
    described: dict[str, object] = {
        "message": message,
        "type": TYPES.get(status, fallback),
        "param": error.param if isinstance(error, RequestError) else None,
        "code": code,
        "request_id": request_id,
    }
    if isinstance(error, QuotaExceeded):
        described["limit"] = error.limit
        described["resets_at"] = _whole_second(error.resets_at) if error.resets_at else None
    return described


def describe(error: Exception) -> tuple[int, str, str]:
    """Return status, message and code of any exception; an unexpected one discloses nothing about itself."""
    if isinstance(error, TTSError):
        return status_of(type(error)), error.message, error.code
    if isinstance(error, HTTPError):
        return error.status, error.message, error.code
    if isinstance(error, HTTPException):
        phrase = HTTPStatus(error.status_code).phrase
        message = NO_PATH if error.status_code == HTTPStatus.NOT_FOUND else f"{phrase}."
        return error.status_code, message, phrase.lower().replace(" ", "_")
    return 500, "Internal error. The server's log has it under this request's id.", "internal_error"


def error_response(error: Exception, request_id: str) -> Response:
    """Return the answer to a request that failed, headers included."""
    body = json.dumps({"error": error_object(error, request_id)}).encode("ascii")
    return Response(body, describe(error)[0], _headers(error), media_type="application/json")


def _headers(error: Exception) -> dict[str, str]:
    if isinstance(error, Unauthenticated):
        return _challenge(error)
    if isinstance(error, QuotaExceeded):
        return _quota_headers(error)
    if isinstance(error, Refused | EngineNotReady):
        return {"Retry-After": _whole(error.retry_after_seconds)}
    if isinstance(error, HTTPException | HTTPError):
        return dict(error.headers or {})
    return {}


def _quota_headers(error: QuotaExceeded) -> dict[str, str]:
    seconds = _whole(error.retry_after_seconds)
    headers = {"Retry-After": seconds, **refusal_headers(error, int(seconds))}
    if isinstance(error, DayQuotaExceeded):
        headers["x-should-retry"] = "false"  # OpenAI's clients would retry within seconds, in vain
    return headers


def _challenge(error: Unauthenticated) -> dict[str, str]:
    if isinstance(error, TooManyFailures):
        # The connection closes, so that each further guess costs a new one.
        return {"Retry-After": _whole(error.retry_after_seconds), "Connection": "close"}
    if isinstance(error, InvalidGrant):
        return {}
    # RFC 6750, section 3.1
    return {"WWW-Authenticate": 'Bearer error="invalid_token"' if isinstance(error, InvalidToken) else "Bearer"}


def _whole_second(moment: datetime) -> str:
    """Round up to a whole second (UTC, ISO 8601)."""
    return (moment + timedelta(microseconds=999_999)).isoformat(timespec="seconds")


def _whole(seconds: float) -> str:
    """Round up, so that a client that waits so long finds room."""
    return str(max(1, math.ceil(seconds)))
