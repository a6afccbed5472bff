"""Redis's whole address, credentials included, in a file of a mounted Secret that may change at any time."""

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from redis.asyncio import Connection
from redis.connection import HiredisRespSerializer
from redis.exceptions import ConnectionError as RedisConnectionError

from tts_server.redis_url import BadRedisURL, RedisURL, parse_redis_url

log = structlog.get_logger(__name__)


class AddressFile:
    """What the file says now. Complains once about each thing that is wrong with it."""

    def __init__(self, file: Path, ca_file: Path | None) -> None:
        self.file = file
        self._ca_file = ca_file
        self._complaint = ""

    def read(self) -> tuple[RedisURL, ssl.SSLContext | None]:
        """The address, and what vouches for the server where it is one of TLS. Raises RedisConnectionError; blocks."""
        try:
            url = parse_redis_url(self.file.read_text("utf-8"))
            trust = self._trust() if url.tls else None
        except BadRedisURL as error:
            complaint = f"{self.file} {error}"
        except UnicodeDecodeError:
            complaint = f"{self.file} is not text"
        except ssl.SSLError:
            complaint = f"{self._ca_file} holds no certificates"
        except OSError as error:
            complaint = f"{error.filename or self.file} cannot be read: {error.strerror}"
        else:
            if self._complaint:
                log.info("Redis's address can be used", file=str(self.file))
            self._complaint = ""
            return url, trust
        if complaint != self._complaint:
            log.warning("Redis's address cannot be used", reason=complaint)
        self._complaint = complaint
        raise RedisConnectionError(complaint)

    def _trust(self) -> ssl.SSLContext:
        ca_file = self._ca_file if self._ca_file is not None and self._ca_file.exists() else None
        return ssl.create_default_context(cafile=ca_file)


class PackedQuickly:
    """A connection that has hiredis pack its commands, as the library's connections without asyncio do.

    Else the arguments of a script are packed one by one in Python, which takes three times as long.
    """

    _packer = HiredisRespSerializer()

    def pack_command(self, *args: Any) -> list[bytes]:
        """See `Connection.pack_command`."""
        packed: list[bytes] = self._packer.pack(*args)
        return packed


class FollowingConnection(PackedQuickly, Connection):
    """Goes, each time that it is made, to where the file leads then."""

    def __init__(self, *, address: AddressFile, **options: Any) -> None:
        super().__init__(**options)
        self._address = address
        self._trust: ssl.SSLContext | None = None

    async def _connect(self) -> None:
        url, self._trust = await asyncio.to_thread(self._address.read)
        self.host, self.port, self.db = url.host, url.port, url.database
        self.username, self.password = url.username or "", url.password or ""
        await super()._connect()  # type: ignore[no-untyped-call]  # redis has no annotations here

    def _connection_arguments(self) -> Mapping[str, Any]:
        arguments = dict(super()._connection_arguments())
        return arguments if self._trust is None else {**arguments, "ssl": self._trust}

    def _host_error(self) -> str:
        """For messages: what a person can look at."""
        return str(self._address.file)
