"""Access tokens of this tenant: five minutes of what an API key may do, signed RS256.

`iss` carries the tenant's UID, `aud` and `tenant` its name: a token of one tenant fails at every other, even if the two
shared a key, and a namesake inherits none.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import jwt
from jwt.algorithms import RSAAlgorithm

from tts_server.auth.claims import check_times, is_meant_for, subject
from tts_server.auth.jws import Unverified, invalid
from tts_server.auth.signing_keys import SigningKeys
from tts_server.errors import TokensUnavailable

ACCESS_SECONDS = 300
ALGORITHM = "RS256"
TYPE = "at+jwt"
"""RFC 9068: so that no other JWT is ever taken for an access token."""
REQUIRED = ("iss", "aud", "sub", "exp", "iat", "nbf", "jti", "tenant")
_RS256 = RSAAlgorithm(RSAAlgorithm.SHA256)


@dataclass(frozen=True)
class TokenAuthority:
    """Makes and checks the tokens of one tenant."""

    tenant: str
    tenant_uid: str
    keys: SigningKeys | None
    """None: none could be read yet."""
    clock: Callable[[], float] = time.time
    """Seconds since 1970."""

    @property
    def issuer(self) -> str:
        """What `iss` is."""
        return f"ttsfleet:{self.tenant_uid or self.tenant}"

    @property
    def audience(self) -> str:
        """What `aud` is."""
        return f"ttsfleet:{self.tenant}"

    def issue(self, name: str) -> str:
        """A token for the holder of the API key `name`. Raises `TokensUnavailable`."""
        keys = self.require_key()
        now = int(self.clock())
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": name,
            "tenant": self.tenant,
            "iat": now,
            "nbf": now,
            "exp": now + ACCESS_SECONDS,
            "jti": uuid.uuid4().hex,
        }
        return jwt.encode(claims, keys.private[keys.current], ALGORITHM, {"kid": keys.current, "typ": TYPE})

    def require_key(self) -> SigningKeys:
        """Raises `TokensUnavailable` before anything is spent for a token that could not be signed."""
        if self.keys is None:
            raise TokensUnavailable("No key to sign tokens with is there yet.", retry_after_seconds=5)
        return self.keys

    def verify(self, token: Unverified) -> str:
        """The name of the key that bought it. Raises `InvalidToken`."""
        key = self.keys.public.get(token.kid) if self.keys is not None else None
        if token.algorithm != ALGORITHM or token.typ != TYPE or key is None:
            raise invalid()
        if not _RS256.verify(token.signed, key, token.signature):
            raise invalid()
        claims = token.claims
        if any(name not in claims for name in REQUIRED) or not isinstance(claims["jti"], str):
            raise invalid()
        if claims["iss"] != self.issuer or claims["tenant"] != self.tenant:
            raise invalid()
        if not isinstance(claims["aud"], str) or not is_meant_for(self.audience, claims):
            raise invalid()
        check_times(claims, self.clock())
        return subject(claims)
