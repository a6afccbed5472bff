"""Connections to wherever the address points when they are made.

redis-py fixes the address of a connection when its pool is made. What this module overrides has public names, but is
not documented: `docs/decisions/0013-redis-private-parts.md` says what relies on it.
"""

import asyncio
import os
import socket
import ssl
from typing import Any

import hiredis
from redis.asyncio import SSLConnection
from redis.asyncio.connection import RedisSSLContext
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError

from tts_server.config.hosts import is_local_text
from tts_server.redis.address import Address


class CurrentTrust(RedisSSLContext):
    """The trusted certificates of the current address; None for a connection without TLS."""

    current: ssl.SSLContext | None = None

    def get(self) -> ssl.SSLContext:
        return self.current  # type: ignore[return-value]  # asyncio takes None for a connection without TLS


class FollowingConnection(SSLConnection):
    """Reads its address each time it connects.

    hiredis packs its commands, as it does for the library's connections without asyncio: in Python the arguments of a
    script are packed one by one, which takes three times as long.
    """

    def __init__(self, *, address: Address, refuse_local: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self._address = address
        self._refuse_local = refuse_local
        self.ssl_context = self._trust = CurrentTrust()

    def pack_command(self, *args: Any) -> list[bytes]:
        try:
            return [hiredis.pack_command((*args[0].split(), *args[1:]))]  # a command may be two words: ACL SETUSER
        except TypeError as error:
            raise DataError(str(error)) from error

    async def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        if self.is_connected:
            return
        # A caller without time left cancels this; the thread goes on, and the next caller finds certificates loaded.
        url, self._trust.current = await asyncio.to_thread(self._address.read)
        self.host, self.port, self.db = url.host, url.port, url.database
        self.username, self.password = url.username or "", url.password or ""
        try:
            await super().connect_check_health(check_health, retry_socket_connect)
        except RedisConnectionError as error:
            if type(error) is not RedisConnectionError or not isinstance(error.__context__, OSError):
                raise
            # The library's message shows host and port, which may be out of a Secret.
            raise RedisConnectionError(f"{self._address.name}: {_reason(error.__context__)}") from None

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """The library calls it once connected. Nothing has been sent yet, not even the password."""
        if self._refuse_local and self._writer is not None:
            peer = self._writer.get_extra_info("peername")
            if peer and is_local_text(str(peer[0])):
                raise RedisConnectionError(
                    f"{self._address.name}: the host has a loopback, link-local or metadata address"
                )
        await super().on_connect_check_health(check_health)


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError | socket.gaierror):
        return getattr(error, "reason", None) or error.strerror or type(error).__name__
    return os.strerror(error.errno) if error.errno else type(error).__name__
