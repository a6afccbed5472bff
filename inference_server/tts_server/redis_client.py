"""The way to Redis, or to Valkey: from the configuration to a client of it."""

import asyncio
from pathlib import Path

from redis.asyncio import BlockingConnectionPool, Redis
from redis.credentials import CredentialProvider

from tts_server.config import RedisConfig

CONNECTIONS = 32
WAIT_SECONDS = 1.0
"""For a connection, and for one that is free: callers have deadlines of their own, which are shorter."""


def redis_client(config: RedisConfig) -> "Redis":
    """Connects when it is first used, and tries nothing twice: whoever calls knows what a second time would mean."""
    tls = {"ssl_ca_certs": str(config.ca_file)} if config.ca_file is not None else {}
    credentials = {}
    if config.password_file is not None:
        credentials["credential_provider"] = _Mounted(config.username, config.password_file)
    pool = BlockingConnectionPool.from_url(
        config.url,
        max_connections=CONNECTIONS,
        timeout=WAIT_SECONDS,
        socket_connect_timeout=WAIT_SECONDS,
        retry=None,
        **tls,
        **credentials,
    )
    return Redis.from_pool(pool)


class _Mounted(CredentialProvider):
    """The password as its file has it when a connection is made: a rotated one holds from then on."""

    def __init__(self, username: str | None, file: Path) -> None:
        self._username = username
        self._file = file

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        password = self._file.read_text("utf-8").strip()
        return (self._username, password) if self._username else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return await asyncio.to_thread(self.get_credentials)
