"""A compact JWS (RFC 7515) read with suspicion: what cannot be one of a few exact shapes is nothing at all.

Logic without I/O. PyJWT computes the signatures; it leaves to its callers what is checked here: the size, one encoding
per token (RFC 4648, no padding, no stray bits), objects that name no field twice, headers that ask for nothing.
"""

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

from tts_server.errors import InvalidToken

LARGEST_TOKEN_BYTES = 8192
DEEPEST_NESTING = 8
"""Of objects and lists in a claim: more is no identity."""
KID = re.compile(r"[A-Za-z0-9._=+/-]{1,128}")
"""It is looked up in a dict, and nowhere else: no file, no address, no query is ever made of it."""
HEADERS = frozenset({"alg", "kid", "typ", "x5t", "x5t#S256"})
"""Those that change nothing. Others bring a key (jwk, jku, x5c, x5u), or demand what is not understood (crit, b64,
zip, cty, enc): tokens with them are refused, whatever they say."""
SEGMENT = re.compile(rb"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Unverified:
    """A token whose signature nobody has checked: good for choosing who shall check it, and for nothing else."""

    algorithm: str
    kid: str
    typ: str
    """In lower case; empty where the header says none."""
    claims: dict[str, Any] = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def looks_like_token(credential: bytes) -> bool:
    """Whether it can only be meant as one."""
    return credential.count(b".") == 2


def parse(token: bytes) -> Unverified:
    """`token` taken apart. Raises `InvalidToken` for whatever is not exactly a signed JWT."""
    if len(token) > LARGEST_TOKEN_BYTES:
        raise invalid()
    parts = token.split(b".")
    if len(parts) != 3:
        raise invalid()
    header, claims = _object(_decoded(parts[0])), _object(_decoded(parts[1]))
    if not header.keys() <= HEADERS:
        raise invalid()
    algorithm, kid, typ = header.get("alg"), header.get("kid"), header.get("typ", "")
    if not (isinstance(algorithm, str) and isinstance(kid, str) and isinstance(typ, str)):
        raise invalid()
    if not KID.fullmatch(kid):
        raise invalid()
    return Unverified(algorithm, kid, typ.lower(), claims, parts[0] + b"." + parts[1], _decoded(parts[2]))


def invalid() -> InvalidToken:
    """One sentence for all reasons: which check failed is of use to a forger only."""
    return InvalidToken("The access token is not valid here.")


def _decoded(segment: bytes) -> bytes:
    """base64url of RFC 7515 in its one canonical spelling: other spellings would be other tokens of one signature."""
    if not SEGMENT.fullmatch(segment):
        raise invalid()
    try:
        decoded = base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
    except (binascii.Error, ValueError):
        raise invalid() from None
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != segment:
        raise invalid()
    return decoded


def _object(document: bytes) -> dict[str, Any]:
    try:
        content = json.loads(document.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError):  # of UTF-8, of the grammar, integers of thousands of digits
        raise invalid() from None
    if not isinstance(content, dict) or _depth(content) > DEEPEST_NESTING:
        raise invalid()
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _depth(value: object) -> int:
    """Of nesting; recursion is safe, because the parser has had its own limit."""
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0
