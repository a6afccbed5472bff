"""The client of Redis: it connects with the first command, and each command succeeds or fails within a second."""

import asyncio
from pathlib import Path
from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.maint_notifications import MaintNotificationsConfig

from tts_server.config.schema import RedisConfig
from tts_server.redis.address import Address, AddressFile, FixedAddress
from tts_server.redis.connection import FollowingConnection

TIMEOUT_SECONDS = 0.25
"""Time limit to connect, and to wait for a free connection: an unavailable Redis must not delay requests."""
COMMAND_SECONDS = 1.0
"""Time limit of a command, with connect, TLS and login if there is no connection. Callers may set a shorter one."""
MOST_CONNECTIONS = 32


class RedisClient(Redis):
    """Commands end within `COMMAND_SECONDS`, and can be cancelled at any moment.

    The library's own timeouts are not used: it sends with `asyncio.wait_for`, which makes a task of every command and,
    on Python 3.11, loses a cancellation that arrives while it ends (fixed in 3.12). The request of a client that
    disconnected would then continue.
    """

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # the library has no annotation for it
        except TimeoutError:
            raise RedisTimeoutError("Redis did not reply in time.") from None


def redis_client(config: RedisConfig) -> RedisClient:
    """A client whose commands return bytes or raise `redis.exceptions.RedisError`. The caller must `aclose()` it.

    No command is retried: one without a reply may have been executed, and only the caller knows whether it may be
    repeated.
    """
    pool = BlockingConnectionPool(
        connection_class=FollowingConnection,
        address=_address(config),
        refuse_local=config.refuse_local_addresses,
        credential_provider=_Password(config) if config.password_file is not None else None,
        **_options(),
    )
    return cast("RedisClient", RedisClient.from_pool(pool))


def _address(config: RedisConfig) -> Address:
    if config.url is not None:
        return FixedAddress(config.url, config.ca_file)
    assert config.url_file is not None  # noqa: S101 - RedisConfig has one of both
    return AddressFile(config.url_file, config.ca_file)


def _options() -> dict[str, Any]:
    return {
        "max_connections": MOST_CONNECTIONS,
        "timeout": TIMEOUT_SECONDS,
        "socket_timeout": None,  # RedisClient has its own
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        # These would send commands that cost a round trip each, and that the ACL user may not send.
        "driver_info": None,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


class _Password(CredentialProvider):
    """Reads the password file for each connection."""

    def __init__(self, config: RedisConfig) -> None:
        assert config.password_file is not None  # noqa: S101 - made only if there is one
        self._file: Path = config.password_file
        self._user = config.username

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        try:
            password = self._file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise AuthenticationError("The file with the Redis password cannot be read.") from None
        return (password,) if self._user is None else (self._user, password)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return await asyncio.to_thread(self.get_credentials)
