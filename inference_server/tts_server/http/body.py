"""A request's body as an object: read within limits, parsed without surprises; the worst it can do is a 4xx."""

import asyncio
import json
from typing import Any, NoReturn, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from tts_server.errors import InvalidParameter, RequestError
from tts_server.http.errors import HTTPError

B = TypeVar("B", bound=BaseModel)

SPARE_BYTES = 65_536
"""Of a body, for everything but the text."""
BYTES_PER_CHARACTER = 12
"""A character in JSON, at most: two escaped surrogates."""
DISCARDED_BYTES = 8 * 1024 * 1024
"""Of a body that is too large, read to its end so that the caller hears why; beyond it the connection is closed."""
READ_SECONDS = 30.0
LONGEST_PARAM_CHARACTERS = 64
FORM = "application/x-www-form-urlencoded"
MOST_FORM_FIELDS = 32


async def read_object(request: Request, *, text_characters: int) -> dict[str, Any]:
    """The JSON object in the body. Raises `HTTPError` 408, 413 and 415, and `RequestError`."""
    _check_content_type(request)
    return _parsed(await _read_in_time(request, SPARE_BYTES + BYTES_PER_CHARACTER * text_characters))


async def read_fields(request: Request) -> dict[str, Any]:
    """The fields of a short body: a form's, a JSON object's, or none without a body. Raises as `read_object`."""
    if "content-type" not in request.headers:
        if not await _read_in_time(request, SPARE_BYTES):
            return {}
    elif request.headers["content-type"].partition(";")[0].strip().lower() == FORM:
        return _parsed_form(await _read_in_time(request, SPARE_BYTES))
    return await read_object(request, text_characters=0)


def checked(model: type[B], content: dict[str, Any]) -> B:
    """`content` as `model`. Raises `InvalidParameter` for the first field that does not fit."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    # Names of a union's members are no part of what the caller wrote.
    path = [str(part) for part in first["loc"] if not str(part).startswith(("function-", "model-"))]
    param = ".".join(path)[:LONGEST_PARAM_CHARACTERS]
    message = "unknown field" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
    raise InvalidParameter(f"{param}: {message}" if param else message, param=param or None)


def spoken_text(text: str) -> str:
    """Half a surrogate pair, which JSON can hold and nothing else, becomes a replacement character."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_CLOSE = {"Connection": "close"}


def _check_content_type(request: Request) -> None:
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    kind = kind.strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise HTTPError(415, "Content-Type must be application/json.", code="unsupported_media_type")
    charset = parameters.partition("charset=")[2].strip(' "').lower()
    if charset not in {"", "utf-8", "utf8", "us-ascii"}:
        raise HTTPError(415, "JSON must be UTF-8.", code="unsupported_media_type")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPError(415, "Content-Encoding must be identity.", code="unsupported_media_type")


async def _read_in_time(request: Request, limit: int) -> bytes:
    try:
        async with asyncio.timeout(READ_SECONDS):
            return await _read(request, limit)
    except TimeoutError:
        raise HTTPError(408, "The body did not arrive in time.", code="request_timeout", headers=_CLOSE) from None


async def _read(request: Request, limit: int) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > DISCARDED_BYTES:
        raise _too_large(limit)
    body = bytearray()
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size <= limit:
                body += chunk
            elif size > DISCARDED_BYTES:
                break
            else:
                body.clear()
    except ClientDisconnect:
        raise HTTPError(400, "The body broke off.", code="incomplete_body", headers=_CLOSE) from None
    if size > limit:
        raise _too_large(limit)
    return bytes(body)


def _too_large(limit: int) -> HTTPError:
    return HTTPError(413, f"The body is larger than {limit} bytes.", code="body_too_large", headers=_CLOSE)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_number)
    except UnicodeDecodeError:
        raise RequestError("The body is not UTF-8.") from None
    except RecursionError:
        raise RequestError("The body is nested too deeply.") from None
    except ValueError:  # of the grammar, and integers of thousands of digits
        raise RequestError("The body is not JSON.") from None
    if not isinstance(content, dict):
        raise RequestError("The body must be a JSON object.")
    return content


def _parsed_form(body: bytes) -> dict[str, Any]:
    try:
        return _object(parse_qsl(body.decode("ascii"), True, True, errors="strict", max_num_fields=MOST_FORM_FIELDS))
    except ValueError:  # of ASCII, of UTF-8, of the grammar
        raise RequestError("The body is not a form.") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise RequestError("The body names a field twice.", param=twice[:LONGEST_PARAM_CHARACTERS])
    return found


def _no_number(name: str) -> NoReturn:
    raise RequestError(f"{name} is no JSON.")
