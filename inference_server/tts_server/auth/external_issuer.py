"""Access tokens of another issuer: its public keys, fetched from one address, and what a token of it must say.

RS256 and ES256 (P-256). The algorithm belongs to the key: a token cannot choose another one for it.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError

from tts_server.auth.claims import check_times, is_meant_for, subject
from tts_server.auth.jwks import KeySet
from tts_server.auth.jws import KID, Unverified, invalid
from tts_server.auth.signing_keys import KEY_BITS, LARGEST_KEY_BITS
from tts_server.config.schema import ExternalIssuer

TYPES = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})
MOST_KEYS = 64
LARGEST_EXPONENT = 2**32
_RS256 = RSAAlgorithm(RSAAlgorithm.SHA256)
_ES256 = ECAlgorithm(ECAlgorithm.SHA256, SECP256R1)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that can check the one algorithm that is its own."""

    algorithm: str
    key: RSAPublicKey | EllipticCurvePublicKey = field(repr=False)

    def fits(self, token: Unverified) -> bool:
        """Whether this key signed it, by this key's algorithm."""
        if token.algorithm != self.algorithm:
            return False
        if isinstance(self.key, RSAPublicKey):
            return _RS256.verify(token.signed, self.key, token.signature)
        return _ES256.verify(token.signed, self.key, token.signature)


class ExternalTokens:
    """Checks the tokens of one external issuer."""

    def __init__(self, config: ExternalIssuer, keys: KeySet[PublicKey], clock: Callable[[], float] = time.time) -> None:
        self.config = config
        self.keys = keys
        self._clock = clock

    async def verify(self, token: Unverified) -> str:
        """Its subject. Raises `InvalidToken`; `TokensUnavailable` where the issuer's keys cannot be had."""
        claims = token.claims
        # Everything that needs no key first: only a token that would be good may cost a look at the issuer.
        if token.typ not in TYPES or token.algorithm not in {"RS256", "ES256"}:
            raise invalid()
        if claims.get("iss") != self.config.issuer or not is_meant_for(self.config.audience, claims):
            raise invalid()
        check_times(claims, self._clock())
        name = subject(claims)
        key = await self.keys.find(token.kid)
        if key is None or not key.fits(token):
            raise invalid()
        return name


def read_key_set(document: object) -> Mapping[str, PublicKey]:
    """The usable keys of a JWK set by kid; others, private and symmetric ones above all, are left out."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("a key set is an object with a list of keys")  # noqa: TRY004 - a fault of the content
    found: dict[str, PublicKey] = {}
    for fields in listed[:MOST_KEYS]:
        key = _public_key(fields)
        if key is not None:
            found.setdefault(fields["kid"], key)
    return found


def _public_key(fields: Any) -> PublicKey | None:
    if not isinstance(fields, dict) or "d" in fields or fields.get("use", "sig") != "sig":
        return None
    kid, kind = fields.get("kid"), fields.get("kty")
    if not isinstance(kid, str) or not KID.fullmatch(kid):
        return None
    algorithm = "RS256" if kind == "RSA" else "ES256"
    if fields.get("alg", algorithm) != algorithm:
        return None
    try:
        key = (RSAAlgorithm if kind == "RSA" else ECAlgorithm).from_jwk(fields)
    except (InvalidKeyError, ValueError, TypeError, KeyError):
        return None
    fits = isinstance(key, RSAPublicKey) and _is_sound(key)
    fits |= isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
    return PublicKey(algorithm, cast("RSAPublicKey | EllipticCurvePublicKey", key)) if fits else None


def _is_sound(key: RSAPublicKey) -> bool:
    """Numbers that no key generator makes cost minutes, or make the library fail later."""
    numbers = key.public_numbers()
    return KEY_BITS <= key.key_size <= LARGEST_KEY_BITS and numbers.n % 2 == 1 and 3 <= numbers.e < LARGEST_EXPONENT
