"""The word for an error of httpx, as `faults` has one for each failed connection."""

import socket
import ssl
from collections.abc import Iterator

import httpx


def word_of(error: httpx.HTTPError) -> str:
    """The word for a failed connection."""
    if isinstance(error, httpx.ConnectTimeout):
        return "connect_timeout"
    if isinstance(error, httpx.ConnectError):
        causes = list(_causes(error))
        return next((word for kind, word in CAUSES if any(isinstance(each, kind) for each in causes)), "unreachable")
    if isinstance(error, httpx.RemoteProtocolError) and not _was_closed(error):
        return "bad_http"
    return "cut"


CAUSES: tuple[tuple[type[BaseException], str], ...] = (
    (ssl.SSLError, "tls_failed"),
    (socket.gaierror, "unknown_host"),
    (ConnectionRefusedError, "connection_refused"),
)
"""The word by the operating system's error behind a connection that failed."""


def _was_closed(error: httpx.RemoteProtocolError) -> bool:
    """Whether the connection ended, and not the protocol. httpx tells the two apart by the message alone."""
    text = str(error)
    return "disconnected" in text or "closed connection" in text


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and all that led to it: anyio groups the errors of a host's addresses."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for each in error.exceptions:
                yield from _causes(each)
        error = error.__cause__ or error.__context__
