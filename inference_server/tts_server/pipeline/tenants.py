"""The tenants of a shared pool, found by what a request brings: an API key, a token, or the key of a link's audio."""

import hashlib
from collections import Counter
from collections.abc import Mapping

from tts_server.auth.jws import looks_like_token, parse
from tts_server.auth.refresh_tokens import tenant_part
from tts_server.errors import InvalidToken
from tts_server.pipeline.server import ServerState


class Tenants:
    """`TenantIndex`: the state of each tenant. A look-up takes the same time for one tenant and for thousands."""

    def __init__(self, servers: Mapping[str, ServerState]) -> None:
        self._by_name = dict(servers)
        digests = [digest for server in servers.values() for digest in server.keyring.digests.values()]
        times = Counter(digests)
        self._by_key = {
            digest: server
            for server in servers.values()
            for digest in server.keyring.digests.values()
            if times[digest] == 1
        }
        """By the SHA-256 of an API key. An attacker who times look-ups learns nothing: nobody can choose a digest."""
        self._by_issuer = {
            server.identity.authority.issuer: server
            for server in servers.values()
            if server.identity.authority is not None
        }
        self._by_refresh = {tenant_part(server.links.owner): server for server in servers.values()}
        self.disputed = sorted(
            name
            for name, server in servers.items()
            if any(times[digest] > 1 for digest in server.keyring.digests.values())
        )
        """Tenants with a key that another one has too: it could be either's, and is accepted for none."""

    def __len__(self) -> int:
        return len(self._by_name)

    def named(self, name: str) -> ServerState | None:
        return self._by_name.get(name)

    def with_key(self, key: bytes) -> ServerState | None:
        return self._by_key.get(hashlib.sha256(key).digest())

    def with_credential(self, credential: bytes | None) -> ServerState | None:
        if credential is None:
            return None
        found = self.with_key(credential)
        if found is not None or not looks_like_token(credential):
            return found
        try:
            issuer = parse(credential).claims.get("iss")
        except InvalidToken:
            return None
        return self._by_issuer.get(issuer) if isinstance(issuer, str) else None

    def with_refresh_token(self, token: str | None) -> ServerState | None:
        return None if token is None else self._by_refresh.get(token.partition(".")[0])
