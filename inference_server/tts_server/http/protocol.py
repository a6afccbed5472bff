"""A client's connection, as uvicorn implements it, with limits on the size and the duration of a request's head.

`http.body` limits the body and `http.speech_response` the sending of a reply; only the connection sees what comes
before them. It builds on private parts of uvicorn: docs/decisions/0016-uvicorn-private-parts.md.
"""

import asyncio
import copy
import secrets
import socket
from typing import Any

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from tts_server.http.connection_limit import ConnectionLimit
from tts_server.http.errors import (
    HeadersTooLarge,
    HTTPError,
    InvalidHTTP,
    PathTooLong,
    TooManyConnections,
    UnsupportedTransferEncoding,
    error_response,
)
from tts_server.http.request_rules import has_valid_host, is_chunked_only
from tts_server.http.unframed_response import UnframedResponse

log = structlog.get_logger(__name__)

LARGEST_HEAD_BYTES = 65_536
"""Limit of a request's first line and headers, and of the trailers behind its body. Bytes that arrive in one packet are
parsed together, so it may be exceeded by the rest of a packet."""
MOST_HEADERS = 256
LONGEST_PATH_BYTES = 8192
"""Limit of a request's path with its query. A signed link has 400 bytes."""
MAX_PIPELINED = 16
"""Requests that may wait for the response to the one before them. One packet holds ten thousand requests, each of which
takes kilobytes of memory."""
FIRST_BYTE_SECONDS = 20.0
"""Time limit from the start of a connection to its first byte."""
HEAD_SECONDS = 20.0
"""Time limit from the first byte of a request to the end of its headers."""
DISCARDED_BYTES = 8 * 1024 * 1024
"""A body that was answered before its end is read up to here, so that its client gets the answer."""
HALF_CLOSED_SECONDS = 0.1
"""How often a half-closed connection is examined for a client that has closed both halves."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
MIN_READ_BYTES = 65_536
"""Bytes of a response that a client must read per keep-alive period: every audio format plays several times faster."""
FRAMING = frozenset({b"content-length", b"transfer-encoding"})

_TOO_LARGE = HeadersTooLarge(
    f"The request's headers are too large: at most {LARGEST_HEAD_BYTES} bytes and {MOST_HEADERS} headers are read.",
)
_TOO_MANY_PIPELINED = InvalidHTTP(f"At most {MAX_PIPELINED} pipelined requests are accepted.")
_INVALID = InvalidHTTP("The request is not valid HTTP/1.1.")
_HOST = InvalidHTTP("A request has exactly one valid Host header (RFC 9112, section 3.2).")
_PATH_TOO_LONG = PathTooLong(f"The path is too long: at most {LONGEST_PATH_BYTES} bytes are read.")
_ENCODING = UnsupportedTransferEncoding("Transfer-Encoding must be chunked, or absent.")
_TOO_MANY_BODIES = TooManyConnections("This replica has too many requests to read.", headers={"Retry-After": "1"})
_TOO_MANY_CONNECTIONS = TooManyConnections("This replica has too many connections.", headers={"Retry-After": "1"})


class Connection(HttpToolsProtocol):
    """A connection of uvicorn's, which answers what its parser refuses in the shape of every other error."""

    def __init__(self, *arguments: Any, limit: ConnectionLimit | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._limit = ConnectionLimit() if limit is None else limit
        self._head_bytes = 0
        """Bytes so far of the request whose headers are incomplete."""
        self._path_bytes = 0
        self._in_message = False
        """Whether the headers of a request are complete and its body is not."""
        self._bodiless_bytes = 0
        """Bytes since the headers ended, or since the last packet that held a part of the body."""
        self._resuming = False
        self._head_timer: asyncio.TimerHandle | None = None
        """Runs while a request's head is incomplete."""
        self._unread_bytes = 0
        """Bytes of the finished response still in the socket buffer at the last check."""
        self._discarded_bytes = 0
        """Bytes of the current body that arrived after the response to it."""
        self._refusal: HTTPError | None = None
        """Answer to what is invalid behind requests that are being answered; nothing else is read."""
        self._probed = False
        """Whether an interim response was sent after the client had closed its half."""
        self._half_closed_timer: asyncio.TimerHandle | None = None
        """Runs while the client has closed its half, and a response has not begun."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if not self._limit.admit(self):
            self._refuse(_new(_TOO_MANY_CONNECTIONS))
            return
        self.timeout_keep_alive_task = self.loop.call_later(FIRST_BYTE_SECONDS, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        self._limit.remove(self)
        self._stop_head_timer()
        self._stop_half_closed_timer()
        self._unset_keepalive_if_required()  # after a reset uvicorn leaves it running, and what it refers to in memory
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]  # as asyncio has it
        """Return whether the connection stays open: the client has closed its half of it, or all of it.

        Only sending tells which: a closed connection answers with a reset. HTTP/1.0 has no interim response to send.
        """
        cycle = self.cycle
        if cycle is None or cycle.response_complete or self._in_message or cycle.scope["http_version"] == "1.0":
            return False
        cycle.keep_alive = False  # the newest request: those before it are answered first
        self._watch_half_closed()
        return True

    def close_idle(self) -> bool:
        if self.transport.get_write_buffer_size():
            return False
        self.transport.close()
        return True

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            return
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except httptools.HttpParserError as error:  # the parser chains an HTTPError that a callback raised
            self._refuse(error.__context__ if isinstance(error.__context__, HTTPError) else _new(_INVALID))
        except HTTPError as refusal:
            self._refuse(refusal)
        else:
            self._start_timers()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._path_bytes += len(url)
        if self._path_bytes > LONGEST_PATH_BYTES:
            raise _new(_PATH_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers behind a chunked body (RFC 9110, section 6.5) are read and dropped: among the headers they would name
        # a key, or an address, that no proxy has checked.
        if not self._in_message:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._resuming:
            return
        if len(self.headers) > MOST_HEADERS:
            raise _new(_TOO_LARGE)
        # The packet may hold a part of the body: count the headers alone before refusing.
        if self._head_bytes > LARGEST_HEAD_BYTES and sum(len(n) + len(v) for n, v in self.headers) > LARGEST_HEAD_BYTES:
            raise _new(_TOO_LARGE)
        http_version = self.parser.get_http_version()
        if not has_valid_host(self.headers, http_version):
            raise _new(_HOST)
        if not is_chunked_only(self.headers):
            raise _new(_ENCODING)
        if len(self.pipeline) >= MAX_PIPELINED:
            raise _new(_TOO_MANY_PIPELINED)
        self._stop_head_timer()
        self._limit.busy(self)
        self._in_message, self._bodiless_bytes, self._discarded_bytes = True, 0, 0
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if cycle.scope["http_version"] == "1.0":
            cycle.__class__ = UnframedResponse  # uvicorn makes the instance, and offers no other place to choose
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        self._bodiless_bytes = 0
        if self.cycle.response_complete:
            self._discarded_bytes += len(body)
            if self._discarded_bytes > DISCARDED_BYTES:
                self.transport.close()
        super().on_body(body)
        if not self._limit.takes_body(len(body), self._unread_bodies):
            self.cycle.body.clear()
            raise _new(_TOO_MANY_BODIES)

    def _unread_bodies(self) -> int:
        """Return the bytes of all bodies that no route has read yet, of every connection."""
        cycles = (each.cycle for each in self.connections if isinstance(each, Connection))
        return sum(len(cycle.body) for cycle in cycles if cycle is not None)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade() and self._has_body:
            return  # the parser skipped the body: `_feed` makes it read it
        self._in_message, self._head_bytes, self._path_bytes = False, 0, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._unread_bytes = self.transport.get_write_buffer_size()
        is_last = not self.pipeline
        super().on_response_complete()
        if not is_last:
            return
        self.cycle.body.clear()  # what no route has read: uvicorn keeps it until the next request
        self._limit.idle(self)
        if self._refusal is not None and not self.transport.is_closing():
            self._answer_and_close(self._refusal)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, and one whose client has stopped reading its response, but not a slow reader's."""
        unread_bytes = self.transport.get_write_buffer_size()
        if unread_bytes == 0:
            super().timeout_keep_alive_handler()
        elif self._unread_bytes - unread_bytes < MIN_READ_BYTES:
            self.transport.abort()
        else:  # a player reads as fast as it plays: a file of minutes takes minutes
            self._unread_bytes = unread_bytes
            self._start_keep_alive_timer()

    def _feed(self, data: bytes) -> None:
        if self._in_message:
            self._bodiless_bytes += len(data)
        else:
            self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as pause:
            # Some clients, such as Java's, offer HTTP/2 with every request and continue in HTTP/1.1 where the server
            # does not accept. The parser stops at the offer and skips the body, so it gets the framing headers again.
            if self._has_body:
                self._resume()
            self.parser.feed_data(data[pause.args[0] :])
        if (self._bodiless_bytes if self._in_message else self._head_bytes) > LARGEST_HEAD_BYTES:
            raise _new(_TOO_LARGE)

    @property
    def _has_body(self) -> bool:
        return any(name in FRAMING for name, _ in self.headers)

    def _resume(self) -> None:
        framing = [b"%b: %b\r\n" % header for header in self.headers if header[0] in FRAMING]
        self._resuming = True
        try:
            self.parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(framing))
        finally:
            self._resuming = False

    def _start_timers(self) -> None:
        """Limit the time of a request that has begun to arrive and is not being processed."""
        if self.transport.is_closing() or not (self.cycle is None or self.cycle.response_complete):
            return
        if self._in_message or self._head_bytes or self.cycle is None:
            self._start_head_timer()
        else:  # the end of a body that arrived after the response to it
            self._stop_head_timer()
            self._start_keep_alive_timer()

    def _start_keep_alive_timer(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_timed_out)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_timed_out(self) -> None:
        self._head_timer = None
        self.transport.close()

    def _watch_half_closed(self) -> None:
        """Give up the request once the client proves to have closed both halves. Runs until the response begins."""
        self._half_closed_timer = None
        if self.transport.is_closing() or self.cycle.response_started or self.cycle.response_complete:
            return
        sock = self.transport.get_extra_info("socket")
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):  # the reset that answered the interim response
            self.transport.abort()
            return
        if not self.pipeline and not self._probed:
            self._probed = True
            self.transport.write(CONTINUE)
        self._half_closed_timer = self.loop.call_later(HALF_CLOSED_SECONDS, self._watch_half_closed)

    def _stop_half_closed_timer(self) -> None:
        if self._half_closed_timer is not None:
            self._half_closed_timer.cancel()
            self._half_closed_timer = None

    def _refuse(self, refusal: HTTPError) -> None:
        """Answer `refusal` once the requests before the invalid one are answered, and close the connection."""
        self._stop_head_timer()
        if self._in_message and self.pipeline:
            self.pipeline.popleft()  # the newest request, whose body is invalid
        elif self._in_message:  # a response under way is cut: nothing else may be written into it
            if self.cycle.response_started and not self.cycle.response_complete:
                self.transport.close()
            else:
                self._answer_and_close(refusal)
            return
        if self.cycle is None or self.cycle.response_complete:
            self._answer_and_close(refusal)
        else:
            self._refusal = refusal

    def _answer_and_close(self, refusal: HTTPError) -> None:
        request_id = secrets.token_hex(16)
        log.info("malformed request", request_id=request_id, status=refusal.status, error=refusal.code)
        reply = error_response(refusal, request_id)
        headers = [*self.server_state.default_headers, *reply.raw_headers]
        headers += [(b"x-request-id", request_id.encode()), (b"connection", b"close")]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(b"".join((STATUS_LINE[refusal.status], lines, b"\r\n", reply.body)))
        self.transport.close()


def _new(refusal: HTTPError) -> HTTPError:
    """Return a copy: an exception keeps the frames through which it was raised, and the bytes that they hold."""
    return copy.copy(refusal)
