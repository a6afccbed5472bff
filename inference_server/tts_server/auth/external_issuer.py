"""Access tokens of an external issuer: its public keys, fetched from one URL, and the claims that its tokens must have.

RS256 and ES256 (P-256). The algorithm belongs to the key: a token cannot choose another one for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError

from tts_server.auth.claims import ExpectedClaims, VerificationKey, check_claims, verify
from tts_server.auth.jwks import KeySet
from tts_server.auth.jws import KID, Unverified, invalid
from tts_server.auth.signing_keys import KEY_BITS, LARGEST_KEY_BITS
from tts_server.config.schema import ExternalIssuer

TYPES = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})
MOST_KEYS = 64
LARGEST_EXPONENT = 2**32


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key and the one algorithm that it verifies."""

    algorithm: str
    key: VerificationKey = field(repr=False)


class ExternalTokens:
    """Verifies the tokens of one external issuer."""

    def __init__(self, config: ExternalIssuer, keys: KeySet[PublicKey]) -> None:
        self.config = config
        self.keys = keys
        self._expected = ExpectedClaims(config.issuer, config.audience)

    async def verify(self, token: Unverified) -> str:
        """The token's subject. Raises `InvalidToken`; `TokensUnavailable` if the issuer's keys cannot be fetched."""
        if token.typ not in TYPES:
            raise invalid()
        check_claims(token, self._expected)  # first: only a token that may be valid causes a request to the issuer
        key = await self.keys.find(token.kid)
        if key is None:
            raise invalid()
        return verify(token, key.key, key.algorithm, self._expected)


def read_key_set(document: object) -> Mapping[str, PublicKey]:
    """The usable keys of a JWK set by kid. Others, above all private and symmetric ones, are left out."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("a key set is an object with a list of keys")  # noqa: TRY004 - a fault of the content
    keys: dict[str, PublicKey] = {}
    for fields in listed[:MOST_KEYS]:
        key = _public_key(fields)
        if key is not None:
            keys.setdefault(fields["kid"], key)
    return keys


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
    is_usable = isinstance(key, RSAPublicKey) and _is_sound(key)
    is_usable |= isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
    return PublicKey(algorithm, cast("VerificationKey", key)) if is_usable else None


def _is_sound(key: RSAPublicKey) -> bool:
    """Refuses numbers that no key generator makes: they take minutes to check, or make the library fail later."""
    numbers = key.public_numbers()
    return KEY_BITS <= key.key_size <= LARGEST_KEY_BITS and numbers.n % 2 == 1 and 3 <= numbers.e < LARGEST_EXPONENT
