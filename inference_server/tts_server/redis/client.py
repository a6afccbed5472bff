"""The one way to Redis: connects when first asked, answers or fails within moments, never keeps a start waiting."""

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
from tts_server.redis.address import Address, AddressFile, FixedAddress, FollowingConnection

TIMEOUT_SECONDS = 0.25
"""To connect, and for a free connection: a request must not notice a Redis that is gone."""
COMMAND_SECONDS = 1.0
"""For all of a command: a connection where there is none yet, perhaps over TLS, greetings, the answer. Whoever has less
time brings a timeout of his own.
"""
MOST_CONNECTIONS = 32


class RedisClient(Redis):
    """A command takes `COMMAND_SECONDS` at most, and its caller can be cancelled at any moment.

    The library's own timeouts are not used: it sends by `asyncio.wait_for`, which on Python 3.11 loses a cancellation
    that comes while it ends (fixed in 3.12), and makes a task of every command. A caller that hung up would go on, and
    be served to nobody.
    """

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """See `Redis.execute_command`, on which every command is built."""
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # the library has no annotation for it
        except TimeoutError:
            raise RedisTimeoutError("Redis does not answer.") from None


def redis_client(config: RedisConfig) -> RedisClient:
    """A client whose commands answer in bytes or raise `redis.exceptions.RedisError`; `aclose()` it.

    Nothing is tried twice: a command whose answer was lost may have been done, and only its caller knows whether
    doing it again does harm.
    """
    pool = BlockingConnectionPool(
        connection_class=FollowingConnection,
        address=_address(config),
        credential_provider=_Password(config) if config.password_file is not None else None,
        **_manners(),
    )
    return cast("RedisClient", RedisClient.from_pool(pool))


def _address(config: RedisConfig) -> Address:
    if config.url is not None:
        return FixedAddress(config.url, config.ca_file)
    assert config.url_file is not None  # noqa: S101 - of `url` and it, one is there
    return AddressFile(config.url_file, config.ca_file)


def _manners() -> dict[str, Any]:
    return {
        "max_connections": MOST_CONNECTIONS,
        "timeout": TIMEOUT_SECONDS,
        "socket_timeout": None,  # see `RedisClient`
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        # Greetings that cost a round trip each, and that an ACL user of few commands may not send.
        "driver_info": None,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


class _Password(CredentialProvider):
    """The password as its file has it when a connection is made."""

    def __init__(self, config: RedisConfig) -> None:
        assert config.password_file is not None  # noqa: S101 - nobody makes one without
        self._file: Path = config.password_file
        self._user = config.username

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        try:
            password = self._file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise AuthenticationError("The file with Redis's password cannot be read.") from None
        return (password,) if self._user is None else (self._user, password)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return await asyncio.to_thread(self.get_credentials)
