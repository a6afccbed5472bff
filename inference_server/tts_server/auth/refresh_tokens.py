"""Refresh tokens: each can be used once; a second use revokes all tokens of the same grant.

A stolen token is presented by the thief and by its owner. The second one cannot be told from the first, so the whole
family is revoked, and the holder of the API key requests a new one (RFC 9700, section 4.14.2).

A token is `<family>.<secret>`. Only the SHA-256 of each is stored, and only the last secret of a family: any other
secret of a known family was spent before, as nobody else knows the family's name.
"""

import hashlib
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from tts_server.errors import InvalidGrant

REFRESH_SECONDS = 86_400
"""Lifetime of an unused token."""
MOST_FAMILIES = 100_000
"""Maximum families of one tenant, some 40 MB; beyond it the one that was used longest ago is revoked."""
TOKEN = re.compile(r"[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}")
TENANT_CHARACTERS = 16
"""Length of the part before the first dot of a refresh token in a shared pool."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """The result of spending a token: its holder, and the next token."""

    holder: str
    token: str = field(repr=False)


class RefreshTokens(Protocol):
    """A store of refresh tokens. Both methods raise `RefreshUnavailable` if it does not respond."""

    async def start(self, holder: str) -> str:
        """Create a family for `holder`; returns its first token."""

    async def renew(self, token: str) -> Renewal:
        """Spend `token`. Raises `InvalidGrant`, and revokes the family of a token that was spent before."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A token as it is stored."""

    family: str
    """SHA-256 of the family's name, in hexadecimal."""
    secret: str
    """SHA-256 of the secret, in hexadecimal."""


def fresh_family() -> str:
    """128 random bits."""
    return secrets.token_urlsafe(16)


def fresh_secret() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


def parts(token: str) -> Parts:
    """The digests of a token. Raises `InvalidGrant` for text of another form."""
    if not TOKEN.fullmatch(token):
        raise refused()
    family, _, secret = token.partition(".")
    return Parts(digest(family), digest(secret))


def digest(text: str) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def refused() -> InvalidGrant:
    """One error for unknown, spent and expired tokens."""
    return InvalidGrant("The refresh token is unknown, spent or expired: request another one with the API key.")


@dataclass(slots=True)
class _Family:
    holder: str
    secret: str
    until: float


class MemoryRefreshTokens:
    """Refresh tokens in this process's memory, for a single replica."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, most_families: int = MOST_FAMILIES) -> None:
        self._clock = clock
        self._most_families = most_families
        self._families: OrderedDict[str, _Family] = OrderedDict()
        """By the digest of its name, the one that was used longest ago first."""

    async def start(self, holder: str) -> str:
        name, secret = fresh_family(), fresh_secret()
        self._families[digest(name)] = _Family(holder, digest(secret), self._clock() + REFRESH_SECONDS)
        self._forget()
        return f"{name}.{secret}"

    async def renew(self, token: str) -> Renewal:
        given = parts(token)
        family = self._families.pop(given.family, None)
        if family is None or family.until <= self._clock() or not secrets.compare_digest(family.secret, given.secret):
            raise refused()
        secret = fresh_secret()
        self._families[given.family] = _Family(family.holder, digest(secret), self._clock() + REFRESH_SECONDS)
        return Renewal(family.holder, f"{token.partition('.')[0]}.{secret}")

    def _forget(self) -> None:
        now = self._clock()
        while self._families:
            oldest = next(iter(self._families.values()))
            if oldest.until > now and len(self._families) <= self._most_families:
                return
            self._families.popitem(last=False)


def tenant_part(tenant_uid: str) -> str:
    """First part of this tenant's refresh tokens in a shared pool, where it tells whose they are."""
    return digest(tenant_uid)[:TENANT_CHARACTERS]


class TenantRefreshTokens:
    """`RefreshTokens` of one tenant of a shared pool: `<tenant>.<family>.<secret>`."""

    def __init__(self, tokens: RefreshTokens, tenant_uid: str) -> None:
        self._tokens = tokens
        self._tenant = tenant_part(tenant_uid)

    async def start(self, holder: str) -> str:
        return f"{self._tenant}.{await self._tokens.start(holder)}"

    async def renew(self, token: str) -> Renewal:
        tenant, _, rest = token.partition(".")
        if tenant != self._tenant:
            raise refused()
        renewal = await self._tokens.renew(rest)
        return Renewal(renewal.holder, f"{tenant}.{renewal.token}")
