"""The check of an access token before PyJWT reads it: what PyJWT would accept or read in two ways is refused here.

PyJWT decodes, and checks signature, times, issuer and audience (`claims`). This check, without I/O, is for the rest:
size, one encoding per token (no padding, no white space), JSON that names no field twice, and a header that requests
nothing. It decides which key may check the token, so its result is not to be trusted before that.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

from jwt.utils import base64url_decode

from tts_server.errors import InvalidToken

LARGEST_TOKEN_BYTES = 8192
DEEPEST_NESTING = 8
"""Maximum nesting of objects and lists in a claim."""
KID = re.compile(r"[A-Za-z0-9._=+/-]{1,128}")
"""A kid is looked up in a dict only; it never becomes part of a path, a URL or a query."""
ALGORITHMS = frozenset({"RS256", "ES256"})
HEADERS = frozenset({"alg", "kid", "typ", "x5t", "x5t#S256"})
"""Header fields without an effect. Others bring a key (jwk, jku, x5c, x5u) or change how the token must be read (crit,
b64, zip, cty, enc): tokens with them are refused."""
SHAPE = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Unverified:
    """A token whose signature has not been checked. Use it only to choose the key that checks it."""

    encoded: bytes = field(repr=False)
    algorithm: str
    kid: str
    typ: str
    """In lower case; empty if the header has none."""
    claims: dict[str, Any] = field(repr=False)


def looks_like_token(credential: bytes) -> bool:
    """Whether the credential looks like a JWT."""
    return credential.count(b".") == 2


def parse(token: bytes) -> Unverified:
    """Raises `InvalidToken` for everything that is not strictly a signed JWT of a known algorithm."""
    if len(token) > LARGEST_TOKEN_BYTES:
        raise invalid()
    parts = SHAPE.fullmatch(token)
    if parts is None:
        raise invalid()
    header, claims = _object(parts[1]), _object(parts[2])
    if not header.keys() <= HEADERS:
        raise invalid()
    algorithm, kid, typ = header.get("alg"), header.get("kid"), header.get("typ", "")
    if not (isinstance(algorithm, str) and isinstance(kid, str) and isinstance(typ, str)):
        raise invalid()
    if algorithm not in ALGORITHMS or not KID.fullmatch(kid):
        raise invalid()
    return Unverified(token, algorithm, kid, typ.lower(), claims)


def invalid() -> InvalidToken:
    """One message for every reason: only a forger could use a more precise one."""
    return InvalidToken("The access token is not valid here.")


def _object(segment: bytes) -> dict[str, Any]:
    try:
        document = base64url_decode(segment).decode("utf-8")
        content = json.loads(document, object_pairs_hook=_without_duplicates, parse_constant=_reject_constant)
    except (ValueError, RecursionError):  # base64, UTF-8, JSON, integers of thousands of digits
        raise invalid() from None
    if not isinstance(content, dict) or _depth(content) > DEEPEST_NESTING:
        raise invalid()
    return content


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a field is named twice")
    return content


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _depth(value: object) -> int:
    """The nesting of a value. The parser's recursion limit bounds it."""
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0
