"""Addresses of HTTP servers, as files and the environment name them."""

from urllib.parse import urlsplit


def with_an_authority(url: str) -> str:
    """The same URL. Raises ValueError for what patterns let through: a host that cannot be, a port that is none."""
    parts = urlsplit(url)
    if not parts.hostname or parts.port == 0:  # what is no port raises ValueError
        raise ValueError("needs a host, and a port from 1 to 65535 where it has one")
    return url
