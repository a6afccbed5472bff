"""Client of the operator's Redis: the only module that imports the library.

Each tenant has an ACL user. The hash `ttsfleet:operators:<id>` (tenant's UID -> namespace/name) registers the users of
one operator: operators that share a Redis remove only their own.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from redis.maint_notifications import MaintNotificationsConfig

from tts_operator.credentials.shared_stores import CERTIFICATE
from tts_operator.objects.names import redis_user_name
from tts_operator.redis_acl.users import RedisRejected, RedisUnreachable, Registration
from tts_operator.settings import RedisDefault
from tts_server.config.redis_acl import key_patterns, rules

TIMEOUT_SECONDS = 1.0
MAX_CONNECTIONS = 4
SCAN_KEYS = 1000
"""Keys per SCAN step: Redis serves no other command during a step."""
REGISTRY = "ttsfleet:operators:{id}"


class RedisAdmin:
    """`UserStore` in a Redis or Valkey. Each command times out after TIMEOUT_SECONDS."""

    def __init__(self, default: RedisDefault) -> None:
        address = default.url
        options: dict[str, Any] = {}
        connection: type[Connection] = Connection
        if address.tls:
            connection = SSLConnection
            certificate = default.directory / CERTIFICATE if default.directory else None
            if certificate is not None and certificate.exists():
                options["ssl_ca_certs"] = str(certificate)
        self._client = Redis.from_pool(
            BlockingConnectionPool(
                connection_class=connection,
                host=address.host,
                port=address.port,
                db=address.database,
                credential_provider=_CredentialFiles(default.directory) if default.directory else None,
                max_connections=MAX_CONNECTIONS,
                timeout=TIMEOUT_SECONDS,
                socket_timeout=TIMEOUT_SECONDS,
                socket_connect_timeout=TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 0),
                driver_info=None,
                maint_notifications_config=MaintNotificationsConfig(enabled=False),
                **options,
            )
        )

    async def grant(self, operator: str, uid: str, owner: str, password_sha256: str) -> None:
        registry = REGISTRY.format(id=operator)
        await self._call("HSET", registry, uid, owner)  # first: an unregistered user would never be removed
        # One atomic command; open connections of the user stay, and Redis receives a hash instead of the password.
        acl = ("reset", "on", f"#{password_sha256}", *rules(uid))
        await self._call("ACL", "SETUSER", redis_user_name(uid), *acl)

    async def registered(self, operator: str) -> Mapping[str, Registration]:
        owners = await self._call("HGETALL", REGISTRY.format(id=operator))
        users = {_text(name) for name in await self._call("ACL", "USERS")}
        pairs = owners.items() if isinstance(owners, dict) else zip(owners[::2], owners[1::2], strict=True)
        return {
            uid: Registration(_text(owner), redis_user_name(uid) in users)
            for uid, owner in ((_text(uid), owner) for uid, owner in pairs)
        }

    async def remove(self, operator: str, uids: Collection[str]) -> None:
        if not uids:
            return
        # Users first, which closes their connections; then their keys, in one pass over all keys.
        await self._call("ACL", "DELUSER", *(redis_user_name(uid) for uid in uids))
        prefixes = tuple(pattern.removesuffix("*").encode() for uid in uids for pattern in key_patterns(uid))
        cursor: int | bytes = 0
        while True:
            cursor, keys = await self._call("SCAN", cursor, "MATCH", "tts*:{*}:*", "COUNT", SCAN_KEYS)
            if own_keys := [key for key in keys if key.startswith(prefixes)]:
                await self._call("UNLINK", *own_keys)
            if not int(cursor):
                break
        await self._call("HDEL", REGISTRY.format(id=operator), *uids)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _call(self, *command: str | int | bytes) -> Any:
        try:
            return await self._client.execute_command(*command)  # type: ignore[no-untyped-call]  # redis does not annotate it
        except (AuthenticationError, AuthorizationError, NoPermissionError, ResponseError) as error:
            raise RedisRejected(str(error)) from error
        except (RedisError, OSError) as error:
            raise RedisUnreachable(str(error) or type(error).__name__) from error


class _CredentialFiles(CredentialProvider):
    """Reads `username` and `password` from files for each new connection."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        try:
            password = (self._directory / "password").read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise AuthenticationError(f"{self._directory / 'password'} cannot be read") from None
        try:
            user = (self._directory / "username").read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            user = ""
        return (user, password) if user else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return self.get_credentials()  # a mounted Secret is in memory: reading it does not block


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
