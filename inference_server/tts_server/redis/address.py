"""The address of Redis: in the configuration, or in a file of a mounted Secret, which may change at any time."""

import ssl
from pathlib import Path
from typing import Protocol

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError

from tts_server.config.redis_url import BadRedisURL, RedisURL, parse_redis_url
from tts_server.tls import TlsTrustStore

log = structlog.get_logger(__name__)


class Address(Protocol):
    """The address of Redis, read again for each connection."""

    name: str
    """Names the address in messages, without a secret."""

    def read(self) -> tuple[RedisURL, ssl.SSLContext | None]:
        """The address, and the trusted certificates if it is one of TLS. Raises RedisConnectionError; blocks."""


class FixedAddress:
    """`Address` in the configuration; it has no credentials."""

    def __init__(self, url: str, ca_file: Path | None) -> None:
        """Raises BadRedisURL."""
        self._url = parse_redis_url(url)
        self.name = f"{self._url.host}:{self._url.port}"
        self._trust = TlsTrustStore(ca_file, needed=True)

    def read(self) -> tuple[RedisURL, ssl.SSLContext | None]:
        try:
            return self._url, self._trust.context() if self._url.tls else None
        except OSError as error:
            raise RedisConnectionError(_unreadable(error, self._trust.ca_file, self._trust.ca_file)) from None


class AddressFile:
    """`Address` in a file. Each problem of the file is logged once."""

    def __init__(self, file: Path, ca_file: Path | None) -> None:
        self.name = str(file)
        self._file = file
        self._trust = TlsTrustStore(ca_file)
        self._problem = ""

    def read(self) -> tuple[RedisURL, ssl.SSLContext | None]:
        try:
            url = parse_redis_url(self._file.read_text("utf-8"))
            trust = self._trust.context() if url.tls else None
        except BadRedisURL as error:
            problem = f"{self._file} {error}"
        except UnicodeDecodeError:
            problem = f"{self._file} is not text"
        except OSError as error:
            problem = _unreadable(error, self._trust.ca_file, self._file)
        else:
            if self._problem:
                log.info("Redis address valid again", file=self.name)
            self._problem = ""
            return url, trust
        if problem != self._problem:
            log.warning("Redis address invalid", reason=problem)
        self._problem = problem
        raise RedisConnectionError(problem)


def _unreadable(error: OSError, ca_file: Path | None, file: Path | None) -> str:
    """The reason in words; `file` is the one that was read, if the error does not name it."""
    if isinstance(error, ssl.SSLError):
        return f"{ca_file} holds no certificates"
    return f"{error.filename or file} cannot be read: {error.strerror}"
