"""A client's connection, as uvicorn implements it, with limits on the size and the duration of a request's head.

`http.body` limits the body and `http.speech_response` the sending of a reply; only the connection sees what comes
before them. It builds on private parts of uvicorn: docs/decisions/0016-uvicorn-private-parts.md.
"""

import asyncio
import uuid
from typing import Any

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tts_server.http.errors import HeadersTooLarge, HTTPError, InvalidHTTP, error_response

log = structlog.get_logger(__name__)

LARGEST_HEAD_BYTES = 65_536
"""Limit of a request's first line and headers, and of the trailers behind its body. Bytes that arrive in one packet are
parsed together, so it may be exceeded by the rest of a packet."""
MOST_HEADERS = 256
MAX_PIPELINED = 16
"""Requests that may wait for the response to the one before them. One packet holds ten thousand requests, each of which
takes kilobytes of memory."""
HEAD_SECONDS = 20.0
"""Time limit from the first byte of a request to the end of its headers."""
MIN_READ_BYTES = 65_536
"""Bytes of a response that a client must read per keep-alive period: every audio format plays several times faster."""
FRAMING = frozenset({b"content-length", b"transfer-encoding"})

_TOO_LARGE = HeadersTooLarge(
    f"The request's headers are too large: at most {LARGEST_HEAD_BYTES} bytes and {MOST_HEADERS} headers are read."
)
_TOO_MANY_PIPELINED = InvalidHTTP(f"At most {MAX_PIPELINED} pipelined requests are accepted.")
_INVALID = InvalidHTTP("The request is not valid HTTP/1.1.")


class Connection(HttpToolsProtocol):
    """A connection of uvicorn's, which answers what its parser refuses in the shape of every other error."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_bytes = 0
        """Bytes so far of the request whose headers are incomplete."""
        self._in_message = False
        """Whether the headers of a request are complete and its body is not."""
        self._bodiless_bytes = 0
        """Bytes since the headers ended, or since the last packet that held a part of the body."""
        self._resuming = False
        self._head_timer: asyncio.TimerHandle | None = None
        """Runs while a request's head is incomplete."""
        self._unread_bytes = 0
        """Bytes of the finished response still in the socket buffer at the last check."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._start_keep_alive_timer()  # a client that sends nothing is treated as one between two requests

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except httptools.HttpParserError as error:  # the parser chains an HTTPError that a callback raised
            self._refuse(error.__context__ if isinstance(error.__context__, HTTPError) else _INVALID)
        except HTTPError as refusal:
            self._refuse(refusal)
        else:
            self._start_timers()

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers behind a chunked body (RFC 9110, section 6.5) are read and dropped: among the headers they would name
        # a key, or an address, that no proxy has checked.
        if not self._in_message:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._resuming:
            return
        if len(self.headers) > MOST_HEADERS:
            raise _TOO_LARGE
        # The packet may hold a part of the body: count the headers alone before refusing.
        if self._head_bytes > LARGEST_HEAD_BYTES and sum(len(n) + len(v) for n, v in self.headers) > LARGEST_HEAD_BYTES:
            raise _TOO_LARGE
        if len(self.pipeline) >= MAX_PIPELINED:
            raise _TOO_MANY_PIPELINED
        self._stop_head_timer()
        self._in_message, self._bodiless_bytes = True, 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._bodiless_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade() and self._has_body:
            return  # the parser skipped the body: `_feed` makes it read it
        self._in_message, self._head_bytes = False, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._unread_bytes = self.transport.get_write_buffer_size()
        super().on_response_complete()

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
            raise _TOO_LARGE

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

    def _refuse(self, refusal: HTTPError) -> None:
        request_id = uuid.uuid4().hex
        log.info("malformed request", request_id=request_id, status=refusal.status, error=refusal.code)
        if not self.pipeline and (
            self.cycle is None or self.cycle.response_complete or not self.cycle.response_started
        ):
            reply = error_response(refusal, request_id)
            headers = [*self.server_state.default_headers, *reply.raw_headers]
            headers += [(b"x-request-id", request_id.encode()), (b"connection", b"close")]
            lines = b"".join(b"%b: %b\r\n" % header for header in headers)
            self.transport.write(b"".join((STATUS_LINE[refusal.status], lines, b"\r\n", reply.body)))
        self.transport.close()  # a response under way is cut: nothing else may be written into it
