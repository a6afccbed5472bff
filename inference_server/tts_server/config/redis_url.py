"""`redis[s]://[user:password@]host[:port][/database]`, as in a Secret. Error messages never contain any of it."""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

REDIS_PORT = 6379
SCHEMES = {"redis": False, "rediss": True}
HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?|[0-9A-Fa-f:.]{2,45}")
LONGEST_URL = 2048


class BadRedisURL(ValueError):  # noqa: N818 - it says what happened
    """The URL is invalid; the message tells its author why, and completes "<file> ..."."""


@dataclass(frozen=True)
class RedisURL:
    """The address of a Redis, and the credentials."""

    host: str
    port: int
    database: int
    tls: bool
    username: str | None = None
    """Unset for the default user of Redis."""
    password: str | None = field(default=None, repr=False)


def parse_redis_url(text: str) -> RedisURL:
    """Ignores surrounding white space: a Secret made from a file ends with a newline. Raises BadRedisURL."""
    text = text.strip()
    if not text:
        raise BadRedisURL("is empty")
    if len(text) > LONGEST_URL or not text.isprintable() or " " in text:
        raise BadRedisURL("is not one line without spaces")
    if "?" in text or "#" in text:
        raise BadRedisURL("has a `?` or a `#`: in a password write them as %3F and %23")
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:  # its message contains the input
        raise BadRedisURL("has an invalid port or host") from None
    if url.scheme not in SCHEMES:
        raise BadRedisURL("does not begin with redis:// or rediss://")
    if not url.hostname or not HOST.fullmatch(url.hostname):
        raise BadRedisURL("has no valid host: in a password write @ as %40, / as %2F and : as %3A")
    path = url.path.removeprefix("/")
    if path and not re.fullmatch(r"[0-9]{1,4}", path):
        raise BadRedisURL("has a path that is not the number of a database")
    password = unquote(url.password or "")
    if url.username and not password:
        raise BadRedisURL("names a user without a password")
    return RedisURL(
        host=url.hostname,
        port=REDIS_PORT if port is None else port,
        database=int(path or 0),
        tls=SCHEMES[url.scheme],
        username=unquote(url.username or "") or None,
        password=password or None,
    )
