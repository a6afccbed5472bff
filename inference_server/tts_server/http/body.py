"""Reads a request's body within limits of size and time, and parses it strictly; a bad body is always a 4xx."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NoReturn, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from tts_server.errors import InvalidParameter, RequestError
from tts_server.http.errors import BodyTimeout, BodyTooLarge, IncompleteBody, UnsupportedMediaType
from tts_server.http.incoming_bodies import IncomingBodies

B = TypeVar("B", bound=BaseModel)

SPARE_BYTES = 65_536
"""Bytes of a body for everything but the text."""
BYTES_PER_CHARACTER = 12
"""Longest encoding of a character in JSON: two escaped surrogates."""
SHORT_BODY_BYTES = 4096
"""Limit of a body that anyone may send, such as a request for a token."""
READ_SECONDS = 30.0
"""Time limit for a whole body."""
LONGEST_PARAM_CHARACTERS = 64
BODY_ERRORS = (RequestError, InvalidParameter, IncompleteBody, BodyTimeout, BodyTooLarge, UnsupportedMediaType)
"""Errors of a body that is read and checked here."""
FORM = "application/x-www-form-urlencoded"
MOST_FORM_FIELDS = 32


async def read_object(request: Request, *, text_characters: int) -> dict[str, Any]:
    """Return the JSON object in the body. Raises the kinds of `BODY_ERRORS`."""
    _check_content_type(request)
    return _parsed(await _read_in_time(request, SPARE_BYTES + BYTES_PER_CHARACTER * text_characters))


async def read_fields(request: Request, incoming: IncomingBodies) -> dict[str, Any]:
    """Return the fields of a short body: a form's, a JSON object's, or none.

    `incoming` bounds how many such bodies arrive at once. Raises the kinds of `BODY_ERRORS`, and `Overloaded`.
    """
    if "content-type" not in request.headers:
        if not await _read_in_time(request, SHORT_BODY_BYTES, incoming):
            return {}
    elif request.headers["content-type"].partition(";")[0].strip().lower() == FORM:
        return _parsed_form(await _read_in_time(request, SHORT_BODY_BYTES, incoming))
    _check_content_type(request)
    return _parsed(await _read_in_time(request, SHORT_BODY_BYTES, incoming))


def checked(model: type[B], content: dict[str, Any]) -> B:
    """Return `content` as `model`. Raises `InvalidParameter` for the first field that does not fit."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    raise invalid_parameter(first["loc"], first["type"], first["msg"])


def invalid_parameter(location: Iterable[int | str], kind: str, message: str) -> InvalidParameter:
    """Translate a validation error of pydantic's."""
    # The client wrote no names of a union's members.
    path = [str(part) for part in location if not str(part).startswith(("function-", "model-"))]
    param = ".".join(path)[:LONGEST_PARAM_CHARACTERS]
    message = "unknown field" if kind == "extra_forbidden" else message.removeprefix("Value error, ")
    return InvalidParameter(f"{param}: {message}" if param else message, param=param or None)


def whole_characters(text: str) -> str:
    """Return the text unchanged. Raises `ValueError` for a lone surrogate, which JSON can hold and UTF-8 cannot."""
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"the character at position {error.start} is half of a surrogate pair; send whole characters"
            ) from None
    return text


_CLOSE = {"Connection": "close"}


def _check_content_type(request: Request) -> None:
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    kind = kind.strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise UnsupportedMediaType("Content-Type must be application/json.")
    charset = parameters.partition("charset=")[2].strip(' "').lower()
    if charset not in {"", "utf-8", "utf8", "us-ascii"}:
        raise UnsupportedMediaType("JSON must be UTF-8.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Content-Encoding must be identity.")


async def _read_in_time(request: Request, limit: int, incoming: IncomingBodies | None = None) -> bytes:
    bound = asyncio.timeout(READ_SECONDS) if incoming is None else incoming.one_more(READ_SECONDS)
    try:
        async with bound:
            return await _read(request, limit)
    except TimeoutError:
        raise BodyTimeout(f"The body did not arrive within {READ_SECONDS:.0f} s.", headers=_CLOSE) from None


async def _read(request: Request, limit: int) -> bytes:
    """Return the body. What follows the first byte above the limit is left to the connection, which discards it."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and declared.isascii() and int(declared) > limit:
        # A client that waits for "100 Continue" sends no body after this answer: no other request can follow.
        raise _too_large(limit, headers=_CLOSE if "expect" in request.headers else {})
    body = bytearray()
    try:
        async for chunk in request.stream():
            if len(body) + len(chunk) > limit:
                raise _too_large(limit)
            body += chunk
    except ClientDisconnect:
        raise IncompleteBody("The body is incomplete.", headers=_CLOSE) from None
    return bytes(body)


def _too_large(limit: int, headers: Mapping[str, str] = MappingProxyType({})) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {limit} bytes.", headers=headers)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_number)
    except UnicodeDecodeError:
        raise RequestError("The body is not UTF-8.") from None
    except RecursionError:
        raise RequestError("The body is nested too deeply.") from None
    except ValueError:  # bad syntax, or an integer of thousands of digits
        raise RequestError("The body is not JSON.") from None
    if not isinstance(content, dict):
        raise RequestError("The body must be a JSON object.")
    return content


def _parsed_form(body: bytes) -> dict[str, Any]:
    try:
        return _object(parse_qsl(body.decode("ascii"), True, True, errors="strict", max_num_fields=MOST_FORM_FIELDS))
    except ValueError:  # not ASCII, not UTF-8, or bad syntax
        raise RequestError("The body is not a valid form.") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise RequestError("The body names a field twice.", param=twice[:LONGEST_PARAM_CHARACTERS])
    return fields


def _no_number(name: str) -> NoReturn:
    raise RequestError(f"{name} is not valid JSON.")
