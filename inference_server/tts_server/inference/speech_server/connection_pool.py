"""The connections to one speech server: opened when they are needed, kept for a moment, closed with their caller."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast

from tts_server.config.hosts import is_local_text
from tts_server.inference.speech_server.faults import ServerFault
from tts_server.inference.speech_server.http_connection import HTTPConnection

KEEPALIVE_SECONDS = 5.0
"""How long a connection stays open unused: less than the servers' own limit, which closes it under a request."""
MOST_IDLE = 64


class ConnectionPool:
    """Lends a connection to one request at a time. Without `context` there is no TLS."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        context: ssl.SSLContext | None,
        connect_timeout_seconds: float,
        refuse_local_addresses: bool = False,
    ) -> None:
        self._host, self._port = host, port
        self._context = context
        self._connect_timeout_seconds = connect_timeout_seconds
        self._refuse_local = refuse_local_addresses
        self._idle: list[tuple[HTTPConnection, asyncio.TimerHandle]] = []
        self._lent: set[HTTPConnection] = set()
        self._closed = False

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[HTTPConnection]:
        """Lend a connection; it is kept for others if its answer was read to the end. Raises `ServerFault`."""
        if self._closed:
            raise ServerFault("cut", began=True)
        connection = self._taken() or await self._connected()
        self._lent.add(connection)
        try:
            yield connection
        finally:
            self._lent.discard(connection)
            self._give_back(connection)

    def close(self) -> None:
        """Close every connection. Requests under way fail."""
        self._closed = True
        for connection, expiry in self._idle:
            expiry.cancel()
            connection.close()
        self._idle.clear()
        for connection in self._lent:
            connection.close()

    def _taken(self) -> HTTPConnection | None:
        """The idle connection that was used last; None if there is none."""
        while self._idle:
            connection, expiry = self._idle.pop()
            expiry.cancel()
            if connection.reusable:
                return connection
            connection.close()
        return None

    def _give_back(self, connection: HTTPConnection) -> None:
        if self._closed or not connection.reusable or len(self._idle) >= MOST_IDLE:
            connection.close()
            return
        expiry = asyncio.get_running_loop().call_later(KEEPALIVE_SECONDS, self._expire, connection)
        self._idle.append((connection, expiry))

    def _expire(self, connection: HTTPConnection) -> None:
        self._idle = [(each, expiry) for each, expiry in self._idle if each is not connection]
        connection.close()

    async def _connected(self) -> HTTPConnection:
        try:
            async with asyncio.timeout(self._connect_timeout_seconds):
                connection = await self._first_that_accepts()
                try:
                    if self._context is not None:
                        await self._encrypt(connection, self._context)
                except BaseException:
                    connection.close()
                    raise
                return connection
        except TimeoutError as error:
            raise ServerFault("connect_timeout") from error
        except ssl.SSLError as error:
            raise ServerFault("tls_failed") from error
        except socket.gaierror as error:
            raise ServerFault("unknown_host") from error
        except ConnectionRefusedError as error:
            raise ServerFault("connection_refused") from error
        except (OSError, UnicodeError) as error:
            raise ServerFault("unreachable") from error

    async def _first_that_accepts(self) -> HTTPConnection:
        """Connect to the host's addresses in turn, each with its share of the time that is left."""
        loop = asyncio.get_running_loop()
        deadline = time.monotonic() + self._connect_timeout_seconds
        found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        failure: OSError = OSError("the host has no address")
        for number, (family, _, protocol, _, address) in enumerate(found):
            share = (deadline - time.monotonic()) / (len(found) - number)
            try:
                async with asyncio.timeout(share):
                    _, connection = await loop.create_connection(
                        HTTPConnection, str(address[0]), int(address[1]), family=family, proto=protocol
                    )
            except OSError as error:  # TimeoutError is one
                failure = error
                continue
            self._refuse(connection)
            return connection
        raise failure

    def _refuse(self, connection: HTTPConnection) -> None:
        """Raise `ServerFault` for an address of this machine or its node, before anything is sent there."""
        assert connection.transport is not None  # noqa: S101 - it is connected
        peer = connection.transport.get_extra_info("peername")
        if self._refuse_local and (peer is None or is_local_text(str(peer[0]))):
            connection.close()
            raise ServerFault("local_address")

    async def _encrypt(self, connection: HTTPConnection, context: ssl.SSLContext) -> None:
        assert connection.transport is not None  # noqa: S101 - it is connected
        encrypted = await asyncio.get_running_loop().start_tls(
            connection.transport, connection, context, server_hostname=self._host
        )
        connection.transport = cast("asyncio.Transport", encrypted)
