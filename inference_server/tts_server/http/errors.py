"""The only map from errors to HTTP, and the one shape in which every 4xx and 5xx leaves."""

import json
import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.responses import Response

from tts_server.errors import (
    AudioGone,
    DayQuotaExceeded,
    EngineError,
    EngineTimeout,
    InvalidGrant,
    InvalidToken,
    ModelNotFound,
    PermissionDenied,
    QuotaExceeded,
    Refused,
    RequestError,
    StorageUnavailable,
    TooManyFailures,
    TTSError,
    Unauthenticated,
)
from tts_server.http.rate_limit_headers import refusal_headers

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
    EngineError: 502,
    EngineTimeout: 504,
}
TYPES: Mapping[int, str] = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
"""OpenAI's words for `type`; other 4xx are invalid_request_error, 5xx server_error."""


NO_PATH = "There is no such path here. The API's begin with /v1/."
"""Clients of OpenAI whose base address lacks that are the usual ones to hear it."""


class HTTPError(Exception):
    """A request that HTTP itself refuses, before anything is known about speech."""

    def __init__(self, status: int, message: str, *, code: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = dict(headers or {})


def status_of(error: TTSError) -> int:
    """The status of the nearest kind in the tree; 500 is for errors that nobody thought of."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def error_object(error: Exception, request_id: str) -> dict[str, object]:
    """What stands under `error`: in a body, or in the last event of a stream."""
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
    """Status, message and code of any exception; those nobody thought of say nothing about themselves."""
    if isinstance(error, TTSError):
        return status_of(error), error.message, error.code
    if isinstance(error, HTTPError):
        return error.status, error.message, error.code
    if isinstance(error, HTTPException):
        phrase = HTTPStatus(error.status_code).phrase
        message = NO_PATH if error.status_code == HTTPStatus.NOT_FOUND else f"{phrase}."
        return error.status_code, message, phrase.lower().replace(" ", "_")
    return 500, "The server made a mistake. It is in its log under this request's id.", "internal_error"


def error_response(error: Exception, request_id: str) -> Response:
    """The whole answer, with what belongs into its headers."""
    body = json.dumps({"error": error_object(error, request_id)}).encode("ascii")
    return Response(body, describe(error)[0], _headers(error), media_type="application/json")


def _headers(error: Exception) -> dict[str, str]:
    if isinstance(error, Unauthenticated):
        return _challenge(error)
    if isinstance(error, QuotaExceeded):
        return _quota_headers(error)
    if isinstance(error, Refused):
        return {"Retry-After": _whole(error.retry_after_seconds)}
    if isinstance(error, HTTPException | HTTPError):
        return dict(error.headers or {})
    return {}


def _quota_headers(error: QuotaExceeded) -> dict[str, str]:
    seconds = _whole(error.retry_after_seconds)
    headers = {"Retry-After": seconds, **refusal_headers(error, int(seconds))}
    if isinstance(error, DayQuotaExceeded):
        headers["x-should-retry"] = "false"  # OpenAI's clients would wait for seconds, and ask again in vain
    return headers


def _challenge(error: Unauthenticated) -> dict[str, str]:
    if isinstance(error, TooManyFailures):
        # Closed, so that each further guess costs a connection.
        return {"Retry-After": _whole(error.retry_after_seconds), "Connection": "close"}
    if isinstance(error, InvalidGrant):
        return {}
    # RFC 6750, section 3.1
    return {"WWW-Authenticate": 'Bearer error="invalid_token"' if isinstance(error, InvalidToken) else "Bearer"}


def _whole_second(moment: datetime) -> str:
    """The first one that is not before it."""
    return (moment + timedelta(microseconds=999_999)).isoformat(timespec="seconds")


def _whole(seconds: float) -> str:
    """Rounded up: a caller that waits so long finds room."""
    return str(max(1, math.ceil(seconds)))
