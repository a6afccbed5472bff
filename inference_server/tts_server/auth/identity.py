"""Token-based authentication: this tenant's access and refresh tokens, and those of an external issuer."""

import asyncio
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tts_server.auth.access_tokens import ACCESS_SECONDS, TokenAuthority
from tts_server.auth.authenticate import Keyring
from tts_server.auth.external_issuer import ExternalTokens, PublicKey, read_key_set
from tts_server.auth.failure_throttle import FailureThrottle
from tts_server.auth.jwks import Fetch, FetchFailed, KeySet, fetch_document
from tts_server.auth.jws import invalid, parse
from tts_server.auth.refresh_tokens import MemoryRefreshTokens, RefreshTokens, TenantRefreshTokens, refused
from tts_server.auth.signing_keys import SigningKeys, generate_keys, read_signing_keys
from tts_server.auth.verified_tokens import VerifiedTokens
from tts_server.config.schema import AuthMode, ExternalIssuer, ServerConfig
from tts_server.errors import InvalidParameter, RefreshUnavailable

if TYPE_CHECKING:
    from tts_server.redis.client import RedisClient

GENERATION_CHARACTERS = 16
MOST_FAMILIES_OF_A_TENANT = 1000
"""Families of refresh tokens of one tenant of a shared pool, some 400 kB in memory."""
MOST_TOKENS_OF_A_TENANT = 128
"""Access tokens of one tenant of a shared pool that are remembered as verified, some 30 kB."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The tokens that an API key or a refresh token was exchanged for."""

    holder: str
    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    """Refresh token, or None if the store is unavailable."""
    expires_in_seconds: int = ACCESS_SECONDS


class Identity:
    """The state of token authentication. `take` and `take_signing_keys` apply a configuration; requests only read."""

    def __init__(self) -> None:
        self.authority: TokenAuthority | None = None
        """Unset unless JWT is one of the modes."""
        self.external: ExternalTokens | None = None
        self.refresh: RefreshTokens | None = None
        """Unset if there are several replicas without a shared store."""
        self.failures = FailureThrottle()
        self._keys: SigningKeys | None = None
        self._directory: Path | None = None
        """The folder from which the signing keys were read."""
        self._alone = MemoryRefreshTokens()

    async def take(self, config: ServerConfig, redis: "RedisClient | None") -> None:
        """Apply a configuration. Does not wait for the network."""
        on = AuthMode.JWT in config.auth.modes
        if config.auth.signing_directory != self._directory:
            self._keys, self._directory = None, config.auth.signing_directory
        if on and self._directory is None and self._keys is None:
            self._keys = await asyncio.to_thread(generate_keys)
        self.authority = TokenAuthority(config.tenant, config.tenant_uid, self._keys) if on else None
        self.refresh = self._refresh_tokens(config, redis)
        await self._take_external(config.auth.external if on else None)

    async def take_signing_keys(self, config: ServerConfig) -> None:
        """Read the signing keys again. Raises `BrokenFile`, and keeps the old ones then."""
        if config.auth.signing_directory is None or AuthMode.JWT not in config.auth.modes:
            return
        self._keys = await asyncio.to_thread(read_signing_keys, config.auth.signing_directory)
        self.authority = TokenAuthority(config.tenant, config.tenant_uid, self._keys)

    def share(self, pool: "Identity", config: ServerConfig, redis: "RedisClient | None") -> None:
        """Become the identity of a tenant of a shared pool, which signs with the pool's keys.

        `iss` and `aud` are the tenant's own. Failures are counted by address for all tenants together.
        """
        self.failures = pool.failures
        before, keys, self._keys = self.authority, self._keys, pool._keys  # noqa: SLF001 - of the same class
        if AuthMode.JWT not in config.auth.modes:
            self.authority = self.refresh = None
            return
        if before is None or keys is not self._keys:
            verified = VerifiedTokens(most_tokens=MOST_TOKENS_OF_A_TENANT)
            self.authority = TokenAuthority(config.tenant, config.tenant_uid, self._keys, verified)
        if self.refresh is None:
            self._alone = MemoryRefreshTokens(most_families=MOST_FAMILIES_OF_A_TENANT)
            tokens = self._refresh_tokens(config, redis)
            self.refresh = None if tokens is None else TenantRefreshTokens(tokens, config.tenant_uid)

    @property
    def current_kid(self) -> str:
        """The kid of the key that signs; empty without one."""
        return self._keys.current if self._keys is not None else ""

    async def verify(self, credential: bytes) -> tuple[str, bool]:
        """The token's subject, and whether this tenant issued it. Raises `InvalidToken`, `TokensUnavailable`."""
        if self.authority is not None and (subject := self.authority.verified.subject(credential)) is not None:
            return subject, True
        token = parse(credential)
        if self.authority is not None and token.claims.get("iss") == self.authority.issuer:
            return self.authority.verify(token), True
        if self.external is None:
            raise invalid()
        return await self.external.verify(token), False

    async def grant(self, authority: TokenAuthority, name: str, digest: bytes) -> Grant:
        """Tokens for the API key `name`. Raises `TokensUnavailable`."""
        access = authority.issue(name)
        refresh = None
        if self.refresh is not None:
            with suppress(RefreshUnavailable):  # the client can use its API key again
                refresh = await self.refresh.start(_holder(name, digest))
        return Grant(name, access, refresh)

    async def renew(self, authority: TokenAuthority, token: str, keyring: Keyring) -> Grant:
        """New tokens for a refresh token. Raises `InvalidGrant`, `InvalidParameter` and `Refused`."""
        if self.refresh is None:
            raise InvalidParameter("This endpoint issues no refresh tokens: use the API key.", param="grant_type")
        authority.require_key()
        renewal = await self.refresh.renew(token)
        name = holder_of(renewal.holder, keyring.digests)
        if name is None:
            raise refused()  # its API key was removed, or replaced
        return Grant(name, authority.issue(name), renewal.token)

    async def close(self) -> None:
        """Cancel background work."""
        await self._take_external(None)

    def _refresh_tokens(self, config: ServerConfig, redis: "RedisClient | None") -> RefreshTokens | None:
        if redis is not None:
            from tts_server.auth.redis_refresh_tokens import RedisRefreshTokens

            return RedisRefreshTokens(redis, config.tenant_uid or config.tenant)
        return self._alone if config.max_replicas == 1 else None

    async def _take_external(self, config: ExternalIssuer | None) -> None:
        old = self.external
        if old is not None and old.config == config:
            return
        self.external = None if config is None else ExternalTokens(config, KeySet(_fetch_from(config)))
        if old is not None:
            await old.keys.close()
        if self.external is not None:
            self.external.keys.refresh()  # before the first token needs the keys


def _fetch_from(config: ExternalIssuer) -> Fetch[PublicKey]:
    async def fetch() -> Mapping[str, PublicKey]:
        try:
            return read_key_set(
                await fetch_document(config.jwks_url, config.ca_file, refuse_local=config.refuse_local_addresses)
            )
        except ValueError:
            raise FetchFailed("the response is not a key set") from None

    return fetch


def _holder(name: str, digest: bytes) -> str:
    """Identifies an API key by name and digest: a new key of the same name does not inherit refresh tokens."""
    return f"{hashlib.sha256(digest).hexdigest()[:GENERATION_CHARACTERS]}.{name}"


def holder_of(holder: str, digests: Mapping[str, bytes]) -> str | None:
    """The name of the API key, or None if it was removed or replaced."""
    name = holder.partition(".")[2]
    digest = digests.get(name)
    return name if digest is not None and _holder(name, digest) == holder else None
