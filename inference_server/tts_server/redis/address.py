"""Where Redis is: written in the configuration, or in a file of a mounted Secret.

Such a file may change at any time, credentials included.
"""

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import structlog
from redis.asyncio import Connection
from redis.connection import HiredisRespSerializer
from redis.exceptions import ConnectionError as RedisConnectionError

from tts_server.config.redis_url import BadRedisURL, RedisURL, parse_redis_url
from tts_server.tls import TlsTrustStore

log = structlog.get_logger(__name__)


class Address(Protocol):
    """Of a Redis, as it is each time that somebody connects."""

    name: str
    """For messages: what a person can look at, without a secret."""

    def read(self) -> tuple[RedisURL, ssl.SSLContext | None]:
        """The address, and what vouches for the server where it is one of TLS. Raises RedisConnectionError; blocks."""


class FixedAddress:
    """`Address` of the configuration, which has no credentials in it."""

    def __init__(self, url: str, ca_file: Path | None) -> None:
        """Raises BadRedisURL."""
        self._url = parse_redis_url(url)
        self.name = f"{self._url.host}:{self._url.port}"
        self._trust = TlsTrustStore(ca_file, needed=True)

    def read(self) -> tuple[RedisURL, ssl.SSLContext | None]:
        """See `Address.read`."""
        try:
            return self._url, self._trust.context() if self._url.tls else None
        except OSError as error:
            raise RedisConnectionError(_unreadable(error, self._trust.ca_file, self._trust.ca_file)) from None


class AddressFile:
    """`Address` that a file says now. Complains once about each thing that is wrong with it."""

    def __init__(self, file: Path, ca_file: Path | None) -> None:
        self.name = str(file)
        self._file = file
        self._trust = TlsTrustStore(ca_file)
        self._complaint = ""

    def read(self) -> tuple[RedisURL, ssl.SSLContext | None]:
        """See `Address.read`."""
        try:
            url = parse_redis_url(self._file.read_text("utf-8"))
            trust = self._trust.context() if url.tls else None
        except BadRedisURL as error:
            complaint = f"{self._file} {error}"
        except UnicodeDecodeError:
            complaint = f"{self._file} is not text"
        except OSError as error:
            complaint = _unreadable(error, self._trust.ca_file, self._file)
        else:
            if self._complaint:
                log.info("Redis's address can be used", file=self.name)
            self._complaint = ""
            return url, trust
        if complaint != self._complaint:
            log.warning("Redis's address cannot be used", reason=complaint)
        self._complaint = complaint
        raise RedisConnectionError(complaint)


def _unreadable(error: OSError, ca_file: Path | None, file: Path | None) -> str:
    """In words; `file`: what was read where the error does not say."""
    if isinstance(error, ssl.SSLError):
        return f"{ca_file} holds no certificates"
    return f"{error.filename or file} cannot be read: {error.strerror}"


class FollowingConnection(Connection):
    """Goes, each time that it is made, to where the address leads then.

    hiredis packs its commands, as it does those of the library's connections without asyncio: in Python the arguments
    of a script are packed one by one, which takes three times as long.
    """

    _packer = HiredisRespSerializer()

    def __init__(self, *, address: Address, **options: Any) -> None:
        super().__init__(**options)
        self._address = address
        self._trust: ssl.SSLContext | None = None

    def pack_command(self, *args: Any) -> list[bytes]:
        """See `Connection.pack_command`."""
        packed: list[bytes] = self._packer.pack(*args)
        return packed

    async def _connect(self) -> None:
        # Goes on where its caller has no more time: whoever comes next finds what vouches for the server.
        url, self._trust = await asyncio.to_thread(self._address.read)
        self.host, self.port, self.db = url.host, url.port, url.database
        self.username, self.password = url.username or "", url.password or ""
        await super()._connect()  # type: ignore[no-untyped-call]  # redis has no annotations here

    def _connection_arguments(self) -> Mapping[str, Any]:
        arguments = dict(super()._connection_arguments())
        return arguments if self._trust is None else {**arguments, "ssl": self._trust}

    def _host_error(self) -> str:
        """For messages."""
        return self._address.name
