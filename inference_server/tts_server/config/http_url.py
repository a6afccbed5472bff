"""Validates URLs of HTTP servers, in files and in the environment."""

from urllib.parse import urlsplit


def with_an_authority(url: str) -> str:
    """Return the URL unchanged. Raises `ValueError` for an invalid host or port, which patterns do not find."""
    parts = urlsplit(url)
    if not parts.hostname or parts.port == 0:  # `port` raises ValueError for an invalid one
        raise ValueError("needs a host, and a port from 1 to 65535 where it has one")
    return url
