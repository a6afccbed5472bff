"""Bounds the open connections of a server: beyond the limit, the one that has been idle longest is closed."""

from collections.abc import Callable
from typing import Protocol

MOST_CONNECTIONS = 4096
"""Default of the limit. An idle connection takes about 15 KB."""

UNREAD_BYTES = 16 * 1024 * 1024
"""Bytes of bodies that may wait for their routes, in sum: a request waits for its turn before its caller is known."""


class Closable(Protocol):
    """A connection that may be closed while it is idle."""

    def close_idle(self) -> bool:
        """Close it, and return whether that frees its descriptor: not while its client still reads a response."""


class ConnectionLimit:
    """The open connections, and in order of their last response those that process no request.

    A connection is idle from its start, and from the end of a response, until the head of a request is complete: a
    client that sends half a head occupies no more than one that sends nothing.
    """

    def __init__(self, most: int = MOST_CONNECTIONS) -> None:
        self._most = most
        self._open: set[Closable] = set()
        self._idle: dict[Closable, None] = {}
        self._unread_bytes = 0
        """Upper bound of the bytes that wait: those that arrived since the last count are in it, read or not."""

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: Closable) -> bool:
        """Add an idle connection, in place of another beyond the limit. False if no other could be closed."""
        if len(self._open) >= self._most and not self._close_oldest():
            return False
        self._open.add(connection)
        self._idle[connection] = None
        return True

    def busy(self, connection: Closable) -> None:
        """Note that it processes a request."""
        self._idle.pop(connection, None)

    def idle(self, connection: Closable) -> None:
        """Note that its last request is answered."""
        if connection in self._open:
            self._idle[connection] = None

    def takes_body(self, size: int, count_unread: Callable[[], int]) -> bool:
        """Note that `size` bytes of a body arrived, and return whether they may wait."""
        self._unread_bytes += size
        if self._unread_bytes > UNREAD_BYTES:
            self._unread_bytes = count_unread()
        return self._unread_bytes <= UNREAD_BYTES

    def remove(self, connection: Closable) -> None:
        """Forget a connection that is lost. Safe to call twice."""
        self._open.discard(connection)
        self._idle.pop(connection, None)

    def _close_oldest(self) -> bool:
        closed = next((connection for connection in self._idle if connection.close_idle()), None)
        if closed is None:
            return False
        self.remove(closed)  # now: the connection is lost in a later iteration of the event loop
        return True
