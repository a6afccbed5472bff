"""`redis[s]://[user:password@]host[:port][/database]`, as a Secret holds it. No message here shows what was read."""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

REDIS_PORT = 6379
SCHEMES = {"redis": False, "rediss": True}
HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?|[0-9A-Fa-f:.]{2,45}")
LONGEST_URL = 2048


class BadRedisURL(ValueError):  # noqa: N818 - it says what happened
    """What is wrong, for the person who wrote the address."""


@dataclass(frozen=True)
class RedisURL:
    """Where a Redis is, and who we are to it."""

    host: str
    port: int
    database: int
    tls: bool
    username: str | None = None
    """None: Redis's default user."""
    password: str | None = field(default=None, repr=False)


def parse_redis_url(text: str) -> RedisURL:
    """Space around it is no part of it: a Secret made from a file ends with a newline. Raises BadRedisURL."""
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
    except ValueError:  # its message has what was read
        raise BadRedisURL("has a port or a host that cannot be") from None
    if url.scheme not in SCHEMES:
        raise BadRedisURL("does not begin with redis:// or rediss://")
    if not url.hostname or not HOST.fullmatch(url.hostname):
        raise BadRedisURL("has no host that can be: in a password write @ as %40, / as %2F and : as %3A")
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
