"""Access tokens of this tenant: valid for five minutes, with the rights of an API key, signed RS256.

`iss` is made of the tenant's UID, `aud` and `tenant` of its name: a token of one tenant fails at every other one, even
if the two had the same key, and a later tenant of the same name accepts none of an earlier one.
"""

import time
import uuid
from dataclasses import dataclass, field

import jwt

from tts_server.auth.claims import ExpectedClaims, verify
from tts_server.auth.jws import Unverified, invalid
from tts_server.auth.signing_keys import SigningKeys
from tts_server.auth.verified_tokens import VerifiedTokens
from tts_server.errors import TokensUnavailable

ACCESS_SECONDS = 300
ALGORITHM = "RS256"
TYPE = "at+jwt"
"""RFC 9068: no JWT of another kind is accepted as an access token."""
REQUIRED = ("iss", "aud", "sub", "exp", "iat", "nbf", "jti", "tenant")


@dataclass(frozen=True)
class TokenAuthority:
    """Issues and verifies the tokens of one tenant. Other keys need another instance."""

    tenant: str
    tenant_uid: str
    keys: SigningKeys | None
    """Unset before the signing keys have been read."""
    verified: VerifiedTokens = field(default_factory=VerifiedTokens, repr=False, compare=False)

    @property
    def issuer(self) -> str:
        """The claim `iss`."""
        return f"ttsfleet:{self.tenant_uid or self.tenant}"

    @property
    def audience(self) -> str:
        """The claim `aud`."""
        return f"ttsfleet:{self.tenant}"

    def issue(self, name: str) -> str:
        """A token for the holder of the API key `name`. Raises `TokensUnavailable`."""
        keys = self.require_key()
        now = int(time.time())
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
        """Raises `TokensUnavailable` without a signing key, so that no refresh token is spent in vain."""
        if self.keys is None:
            raise TokensUnavailable("The server has no signing key yet.", retry_after_seconds=5)
        return self.keys

    def verify(self, token: Unverified) -> str:
        """The name of the API key that the token was issued for. Raises `InvalidToken`."""
        key = self.keys.public.get(token.kid) if self.keys is not None else None
        if token.typ != TYPE or key is None or token.claims.get("tenant") != self.tenant:
            raise invalid()
        expected = ExpectedClaims(self.issuer, self.audience, REQUIRED, single_audience=True)
        subject = verify(token, key, ALGORITHM, expected)
        self.verified.remember(token, subject)
        return subject
