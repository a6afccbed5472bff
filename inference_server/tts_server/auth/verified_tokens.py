"""Remembers which access tokens were verified: a client sends each of its tokens many times.

A token that is not remembered, or not valid at this moment, is verified as if nothing were remembered. Tokens are known
by their SHA-256 only: none is kept longer than its request.
"""

import hashlib
import time
from collections.abc import Callable
from typing import NamedTuple

from tts_server.auth.claims import LEEWAY_SECONDS
from tts_server.auth.jws import Unverified

MOST_TOKENS = 4096
"""Tokens remembered at once, less than a megabyte. Beyond them the one verified first is forgotten."""


class _Verified(NamedTuple):
    subject: str
    begins: int
    """Seconds since 1970."""
    expires: int


class VerifiedTokens:
    """Tokens that one set of keys has signed for one issuer. With other keys, begin with an empty one."""

    def __init__(self, now: Callable[[], float] = time.time, most_tokens: int = MOST_TOKENS) -> None:
        self._now = now
        self._most_tokens = most_tokens
        self._known: dict[bytes, _Verified] = {}

    def __len__(self) -> int:
        return len(self._known)

    def subject(self, token: bytes) -> str | None:
        """The subject of a token that was verified and is valid now, else None."""
        known = self._known.get(hashlib.sha256(token).digest())
        if known is None:
            return None
        now = self._now()
        # The comparisons of PyJWT, which reads the same clock.
        return known.subject if known.begins <= now + LEEWAY_SECONDS and known.expires > now - LEEWAY_SECONDS else None

    def remember(self, token: Unverified, subject: str) -> None:
        """Remember a token that has just been verified, with `exp`, `nbf` and `iat` among its claims."""
        if len(self._known) >= self._most_tokens:
            del self._known[next(iter(self._known))]
        claims = token.claims
        begins, expires = max(int(claims["nbf"]), int(claims["iat"])), int(claims["exp"])
        self._known[hashlib.sha256(token.encoded).digest()] = _Verified(subject, begins, expires)
