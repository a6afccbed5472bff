"""What a token says about itself, once its signature is good (RFC 7519, section 4.1)."""

import math
from typing import Any

from tts_server.auth.jws import invalid
from tts_server.errors import TokenExpired

LEEWAY_SECONDS = 5.0
"""Between the clocks of who signs and who checks."""
LATEST_SECONDS = 2.0**40
"""A later time than this is no time."""
LONGEST_SUBJECT_CHARACTERS = 256


def check_times(claims: dict[str, Any], now: float) -> None:
    """`exp` is there and ahead; `nbf` and `iat`, where they are, are not. Raises `InvalidToken`."""
    expires = _time(claims.get("exp"))
    if any(_time(claims[name]) > now + LEEWAY_SECONDS for name in ("nbf", "iat") if name in claims):
        raise invalid()
    if expires <= now - LEEWAY_SECONDS:
        raise TokenExpired("The access token has expired: get another one.")


def subject(claims: dict[str, Any]) -> str:
    """Raises `InvalidToken` for one that is missing or no name."""
    name = claims.get("sub")
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_SUBJECT_CHARACTERS or not name.isprintable():
        raise invalid()
    return name


def is_meant_for(audience: str, claims: dict[str, Any]) -> bool:
    """`aud` is a string or a list of them."""
    given = claims.get("aud")
    if isinstance(given, str):
        return given == audience
    return isinstance(given, list) and all(isinstance(name, str) for name in given) and audience in given


def _time(value: object) -> float:
    """Seconds since 1970. A bool is an int in Python, and no time anywhere."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid()
    if isinstance(value, float) and not math.isfinite(value):
        raise invalid()
    if not 0 <= value <= LATEST_SECONDS:
        raise invalid()
    return float(value)
