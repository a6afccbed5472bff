"""Claims of an access token (RFC 7519, section 4.1): PyJWT checks them; what it would forgive is refused before."""

import math
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.types import Options

from tts_server.auth.jws import Unverified, invalid
from tts_server.errors import TokenExpired

LEEWAY_SECONDS = 5.0
"""Tolerated difference between the clocks of the issuer and of this server."""
LATEST_SECONDS = 2.0**40
"""The largest number that is accepted as a time."""
LONGEST_SUBJECT_CHARACTERS = 256
TIMES = ("exp", "nbf", "iat")

VerificationKey = RSAPublicKey | EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class ExpectedClaims:
    """The claims that a token must have."""

    issuer: str
    audience: str
    required: tuple[str, ...] = ("iss", "aud", "sub", "exp")
    single_audience: bool = False
    """`aud` must be a string; otherwise it may also be a list of strings."""


def verify(token: Unverified, key: VerificationKey, algorithm: str, expected: ExpectedClaims) -> str:
    """The subject of a token that `key` has signed. Raises `InvalidToken`, and `TokenExpired` for one that was valid.

    `algorithm` belongs to the key: a token cannot choose another one for it.
    """
    return _decode(token, key, [algorithm], expected)


def check_claims(token: Unverified, expected: ExpectedClaims) -> None:
    """Raises `InvalidToken` for a token that no signature could make valid now; `TokenExpired` if it has expired."""
    _decode(token, "", [], expected)


def _decode(token: Unverified, key: VerificationKey | str, algorithms: list[str], expected: ExpectedClaims) -> str:
    _check_forms(token.claims)
    try:
        jwt.decode(
            token.encoded,
            key,
            algorithms,
            options=_options(expected, verify_signature=bool(algorithms)),
            issuer=expected.issuer,
            audience=expected.audience,
            leeway=LEEWAY_SECONDS,
        )
    except jwt.ExpiredSignatureError:
        raise TokenExpired("The access token has expired: get another one.") from None
    except jwt.PyJWTError:
        raise invalid() from None
    subject: str = token.claims["sub"]
    return subject


def _options(expected: ExpectedClaims, *, verify_signature: bool) -> Options:
    """All checks by name: PyJWT's defaults depend on whether the signature is checked."""
    return {
        "verify_signature": verify_signature,
        "verify_exp": True,
        "verify_nbf": True,
        "verify_iat": True,
        "verify_iss": True,
        "verify_aud": True,
        "verify_sub": True,
        "verify_jti": "jti" in expected.required,
        "strict_aud": expected.single_audience,
        "require": list(expected.required),
    }


def _check_forms(claims: dict[str, Any]) -> None:
    """Refuses times that PyJWT would convert (strings, booleans, huge numbers), and subjects that are no name."""
    if not all(_is_time(claims[name]) for name in TIMES if name in claims):
        raise invalid()
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT_CHARACTERS or not subject.isprintable():
        raise invalid()


def _is_time(value: object) -> bool:
    """Whether it is a number of seconds since 1970. A bool is an int in Python, but not in JSON."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return not (isinstance(value, float) and not math.isfinite(value)) and 0 <= value <= LATEST_SECONDS
