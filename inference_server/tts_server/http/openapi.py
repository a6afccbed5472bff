"""Describes routes in /openapi.json: errors, from the tables that make them, headers, and bodies that routes read.

FastAPI writes the document. Routes that read their own body, or answer with audio, say so by these functions.
"""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from tts_server.errors import (
    DayQuotaExceeded,
    Draining,
    EngineNotReady,
    InvalidGrant,
    QuotaExceeded,
    Refused,
    TooManyFailures,
    TTSError,
    Unauthenticated,
)
from tts_server.http.errors import (
    HeadersTooLarge,
    HTTPError,
    InvalidHTTP,
    PathTooLong,
    RangeNotSatisfiable,
    TooManyConnections,
    UnsupportedTransferEncoding,
    status_of,
)

ErrorKind = type[TTSError] | type[HTTPError]
Description = dict[str, Any]
"""A part of an OpenAPI document."""

REF_TEMPLATE = "#/components/schemas/{model}"
JSON = "application/json"
EVERYWHERE: tuple[ErrorKind, ...] = (
    TTSError,
    InvalidHTTP,
    PathTooLong,
    HeadersTooLarge,
    UnsupportedTransferEncoding,
    Draining,
    TooManyConnections,
)
"""Errors that any request may get. `TTSError` stands for whatever is not expected: 500."""
ABOUT = """\
Speech over HTTP: OpenAI's API for speech, and the project's own.

Every answer of 400 and more is an `Error`. A path that does not exist gets 404 `not_found`, another method of one that
does 405 `method_not_allowed`. GET routes answer HEAD too.
"""


class ErrorObject(BaseModel):
    """An error, as OpenAI's clients expect it."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")

    message: str
    """Cause, and what to do about it."""
    type: str
    """Class of the error: `invalid_request_error`, `authentication_error`, `permission_error`, `rate_limit_error` or
    `server_error`."""
    param: str | None
    """Field, parameter or header to change."""
    code: str
    """Name of the error, for programs."""
    request_id: str
    """Value of `X-Request-Id`."""
    limit: str = ""
    """Limit of `spec.quota` that has no room; of quota errors only."""
    resets_at: str | None = None
    """When the whole limit is available again (UTC, ISO 8601); of quota errors only."""


class Error(BaseModel):
    """Body of every answer of 400 and more."""

    model_config = ConfigDict(extra="forbid")

    error: ErrorObject


WHOLE_NUMBER = {"type": "integer", "minimum": 0}
TEXT = {"type": "string"}
HEADERS: Mapping[str, tuple[str, Description]] = {
    "X-Request-Id": ("Name of the request in the server's log.", {"type": "string", "minLength": 1, "maxLength": 128}),
    "Retry-After": ("Seconds to wait before the next try.", {"type": "integer", "minimum": 1}),
    "WWW-Authenticate": ("Scheme of the credential (RFC 6750).", {"type": "string", "pattern": "^Bearer"}),
    "RateLimit": ("What is left of each limit (draft-ietf-httpapi-ratelimit-headers-10).", TEXT),
    "RateLimit-Policy": ("Each limit and its window.", TEXT),
    "x-ratelimit-limit-requests": ("Requests per minute.", WHOLE_NUMBER),
    "x-ratelimit-remaining-requests": ("Requests that are left of this minute.", WHOLE_NUMBER),
    "x-ratelimit-reset-requests": ("When one more is available.", {"type": "string", "pattern": r"^[0-9.]+s$"}),
    "x-should-retry": ("`false` where another try today is in vain.", TEXT),
    "X-TTS-Engine": ("Model that spoke.", TEXT),
    "X-TTS-Status": ("`degraded` where a fallback spoke.", {"type": "string", "enum": ["ok", "degraded"]}),
    "X-TTS-Voice": ("Every voice that spoke, as MODEL/VOICE, in the order of the text.", TEXT),
    "X-TTS-Fallback-Reason": ("Code of the error because of which a fallback spoke; only where one did.", TEXT),
    "X-TTS-Cache": ("Whether the audio was cached; only where the tenant has a cache.",
                    {"type": "string", "enum": ["hit", "miss"]}),
    "Cache-Control": ("How long the answer may be kept.", TEXT),
    "ETag": ("Names this content in `If-None-Match` and `If-Range`.", TEXT),
    "Accept-Ranges": ("`bytes`: parts can be asked for.", TEXT),
    "Content-Range": ("Which part of how many bytes.", {"type": "string", "pattern": "^bytes "}),
    "Content-Security-Policy": ("What the page may load: this server's own files.", TEXT),
    "Cross-Origin-Opener-Policy": ("`same-origin`", TEXT),
    "Cross-Origin-Resource-Policy": ("`same-origin`", TEXT),
    "Referrer-Policy": ("`no-referrer`", TEXT),
    "X-Content-Type-Options": ("`nosniff`", TEXT),
    "Pragma": ("`no-cache`, for HTTP/1.0.", TEXT),
}  # fmt: skip
QUOTA_HEADERS = (
    "RateLimit", "RateLimit-Policy",
    "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests",
)  # fmt: skip
HEADERS_OF_ERRORS: Mapping[type[Exception], tuple[tuple[str, ...], tuple[str, ...]]] = {
    # error                 headers that every answer has    and that some have
    Unauthenticated:       (("WWW-Authenticate",),           ()),
    InvalidGrant:          ((),                              ()),
    TooManyFailures:       (("Retry-After",),                ()),
    Refused:               (("Retry-After",),                ()),
    EngineNotReady:        (("Retry-After",),                ()),
    QuotaExceeded:         (("Retry-After", "RateLimit"),    QUOTA_HEADERS[1:]),
    DayQuotaExceeded:      (("Retry-After", "RateLimit"),    ("RateLimit-Policy", "x-should-retry")),
    RangeNotSatisfiable:   (("Content-Range",),              ()),
}  # fmt: skip
REQUEST_HEADERS: Mapping[str, tuple[str, Description]] = {
    "X-TTS-Priority": ("`batch` lets interactive requests go first.",
                       {"type": "string", "enum": ["interactive", "batch"], "default": "interactive"}),
    "X-Request-Id": ("Name of yours for the request; one of the server's replaces any other.", TEXT),
    "Accept": ("`audio/*`: the answer is the audio itself.", TEXT),
    "Range": ("One range of bytes.", TEXT),
    "If-Range": ("The range is sent only if the content has this ETag, else all of it.", TEXT),
    "If-None-Match": ("The content is sent only if it has none of these ETags.", TEXT),
}  # fmt: skip
CREDENTIALS = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key or an access token. `X-API-Key` holds the same, without a scheme.",
    },
    "basic": {"type": "http", "scheme": "basic", "description": "Name of an API key, or empty, and the key."},
}


def errors(*kinds: ErrorKind) -> dict[int | str, Description]:
    """Describe the answers for these errors, by status, with every code that each may have."""
    by_status: dict[int, list[ErrorKind]] = {}
    for kind in kinds:
        by_status.setdefault(_status(kind), []).append(kind)
    return {status: _error_answer(of_status) for status, of_status in by_status.items()}


def ok(description: str, *headers: str) -> dict[int | str, Description]:
    """Describe the answer 200 of a route that returns a model."""
    return {200: answer(description, *headers)}


def answer(
    description: str, *headers: str, media_types: Iterable[str] = (), optional: Iterable[str] = ()
) -> Description:
    """Describe one answer; `media_types` are those whose content has no schema, such as audio."""
    described: Description = {"description": description, "headers": _headers(headers, optional)}
    if content := {media_type: {"schema": {"type": "string"}} for media_type in media_types}:
        described["content"] = content
    return described


def request(
    body: type[BaseModel] | None = None,
    *,
    headers: Iterable[str] = (),
    media_types: Iterable[str] = (JSON,),
    required: bool = True,
    credentials: Iterable[str | None] = ("bearer",),
) -> Description:
    """Describe what a route reads by itself: its body, its headers, and the credentials of which one is needed."""
    described: Description = {"security": [{name: []} if name else {} for name in credentials]}
    described["parameters"] = [
        {"name": name, "in": "header", "description": REQUEST_HEADERS[name][0], "schema": REQUEST_HEADERS[name][1]}
        for name in headers
    ]
    if body is not None:
        schema = {"$ref": REF_TEMPLATE.format(model=body.__name__)}
        content = {media_type: {"schema": schema} for media_type in media_types}
        described["requestBody"] = {"required": required, "content": content}
    return described


def document(app: FastAPI, bodies: Iterable[type[BaseModel]]) -> Description:
    """Write the OpenAPI document of every route; `bodies` are those that routes read by themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # GET and HEAD of a route have one operation id until the loop below
        described = get_openapi(title="TTS Fleet", version=app.version, description=ABOUT, routes=app.routes)
    models: list[type[BaseModel]] = [*bodies, Error]
    validated: list[tuple[Any, JsonSchemaMode]] = [(model, "validation") for model in models]
    _, schemas = models_json_schema(validated, ref_template=REF_TEMPLATE)
    components = described.setdefault("components", {})
    components["schemas"] = components.get("schemas", {}) | schemas["$defs"]
    components["schemas"].pop("HTTPValidationError", None)  # FastAPI's own 422, which this server never sends
    components["schemas"].pop("ValidationError", None)
    components["securitySchemes"] = CREDENTIALS
    for path, operations in described["paths"].items():
        described["paths"][path] = dict(sorted(operations.items()))  # FastAPI keeps a route's methods in a set
        for method, operation in operations.items():
            _complete(method, operation)
    return described


def _complete(method: str, operation: Description) -> None:
    """Add what every answer has, and take off a HEAD's answers what only GET has."""
    answers = operation["responses"]
    answers.pop("422", None)
    for status, general in errors(*EVERYWHERE).items():
        specific = answers.setdefault(str(status), general)
        if specific is not general:
            answers[str(status)] = _merged(specific, general)
    for described in answers.values():
        described["headers"] = _headers(["X-Request-Id"], ()) | described.get("headers", {})
    if method == "head":
        operation["operationId"] = f"head_{operation['operationId']}"
        for described in answers.values():
            described.pop("content", None)


def _merged(specific: Description, general: Description) -> Description:
    """Join two descriptions of errors of one status; a header that only one requires is required by neither."""
    codes = [*_codes(specific), *(code for code in _codes(general) if code not in _codes(specific))]
    required = [name for name, header in specific["headers"].items() if header["required"]]
    required = [name for name in required if general["headers"].get(name, {}).get("required")]
    optional = [name for name in (specific["headers"] | general["headers"]) if name not in required]
    return _of_codes(codes, _headers(required, optional))


def _status(kind: ErrorKind) -> int:
    return kind.status if issubclass(kind, HTTPError) else status_of(kind)


def _error_answer(kinds: Iterable[ErrorKind]) -> Description:
    always, sometimes = [], []
    for kind in kinds:
        required, optional = next(
            (HEADERS_OF_ERRORS[each] for each in kind.__mro__ if each in HEADERS_OF_ERRORS), ((), ())
        )
        always.append(set(required))
        sometimes += [*required, *optional]
    common = set.intersection(*always)
    codes = list(dict.fromkeys(kind.code for kind in kinds))
    return _of_codes(codes, _headers(sorted(common), [name for name in dict.fromkeys(sometimes) if name not in common]))


def _of_codes(codes: list[str], headers: Description) -> Description:
    schema = {
        "allOf": [
            {"$ref": REF_TEMPLATE.format(model=Error.__name__)},
            {"properties": {"error": {"properties": {"code": {"enum": codes}}}}},
        ]
    }
    described = " or ".join(f"`{code}`" for code in codes)
    return {"description": described, "headers": headers, "content": {JSON: {"schema": schema}}}


def _codes(described: Description) -> list[str]:
    codes: list[str] = described["content"][JSON]["schema"]["allOf"][1]["properties"]["error"]["properties"]["code"][
        "enum"
    ]
    return codes


def _headers(required: Iterable[str], optional: Iterable[str]) -> Description:
    return {
        name: {"description": HEADERS[name][0], "required": always, "schema": HEADERS[name][1]}
        for names, always in ((required, True), (optional, False))
        for name in names
    }
