"""Refresh tokens: each is good once, and using one twice ends every token that came from the same key's grant.

Whoever stole one and whoever lost it will both present it. The second to do so cannot be told from the first, so the
whole family dies, and the holder of the API key starts anew (RFC 9700, section 4.14.2).

A token is `<family>.<secret>`. Only SHA-256 of either is kept, and of a family only its last secret: any other secret
of a known family is one that was spent, because nobody else knows the family's name.
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
"""A token that is not used for so long is worth nothing."""
MOST_FAMILIES = 100_000
"""Of one tenant: some 40 MB. Beyond it the one that rested longest goes, and its holder asks with the API key again."""
TOKEN = re.compile(r"[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Renewal:
    """What a spent token gave: whose it was, and the next one."""

    holder: str
    token: str = field(repr=False)


class RefreshTokens(Protocol):
    """Where refresh tokens are remembered. Both raise `RefreshUnavailable` where the store does not answer."""

    async def start(self, holder: str) -> str:
        """The first token of a new family, for `holder`."""

    async def renew(self, token: str) -> Renewal:
        """Spend `token`. Raises `InvalidGrant`; for one that was spent before, the family is gone then."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A token as a store may know it."""

    family: str
    """Its name's SHA-256, in hexadecimal."""
    secret: str
    """The same of its secret."""


def fresh_family() -> str:
    """128 bits that nobody guesses."""
    return secrets.token_urlsafe(16)


def fresh_secret() -> str:
    """256 bits."""
    return secrets.token_urlsafe(32)


def parts(token: str) -> Parts:
    """Raises `InvalidGrant` for what was never a token."""
    if not TOKEN.fullmatch(token):
        raise refused()
    family, _, secret = token.partition(".")
    return Parts(digest(family), digest(secret))


def digest(text: str) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def refused() -> InvalidGrant:
    """The same for unknown, spent and old ones."""
    return InvalidGrant("The refresh token is unknown, spent or out of time: get another one with the API key.")


@dataclass(slots=True)
class _Family:
    holder: str
    secret: str
    until: float


class MemoryRefreshTokens:
    """For a server that is alone: they die with its process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, most_families: int = MOST_FAMILIES) -> None:
        self._clock = clock
        self._most_families = most_families
        self._families: OrderedDict[str, _Family] = OrderedDict()
        """The one that rested longest first."""

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
