"""A caller's connection, as uvicorn has it, within bounds: how long a request's head may be, and how long it may take.

Whoever is let in is bounded further in: a body by `routes.body`, a reply by `routes.reply`. What comes before, only the
connection sees.
"""

import asyncio
import uuid
from typing import Any

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tts_server.http.errors import HTTPError, error_response

log = structlog.get_logger(__name__)

LARGEST_HEAD_BYTES = 65_536
"""Of a request's first line and headers, and of what stands behind its body. What comes in the same packet may be more,
and is parsed."""
MOST_HEADERS = 256
MOST_AHEAD = 16
"""Requests that wait for the answer to the one before them: one packet holds ten thousand, of some kilobytes each."""
HEAD_SECONDS = 20.0
"""From the beginning of a request until its headers are all there."""
LEAST_TAKEN_BYTES = 65_536
"""Of an answer, in the time that a connection may be idle: every format plays several times faster."""
FRAMING = frozenset({b"content-length", b"transfer-encoding"})

_TOO_LARGE = HTTPError(
    431,
    f"The request's headers are too large: at most {LARGEST_HEAD_BYTES} bytes and {MOST_HEADERS} headers are read.",
    code="headers_too_large",
)
_TOO_MANY_AHEAD = HTTPError(400, f"At most {MOST_AHEAD} requests may be sent ahead.", code="invalid_http")
_INVALID = HTTPError(400, "This is no valid HTTP/1.1 request.", code="invalid_http")


class Connection(HttpToolsProtocol):
    """One of uvicorn's. What its parser refuses is answered in the one shape that every error has."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_bytes = 0
        """Of the request whose headers are on their way."""
        self._in_message = False
        """Whether a request's headers are there, and its body is not."""
        self._bodiless_bytes = 0
        """That have come since then, or since the last packet that held some of the body."""
        self._resuming = False
        self._patience: asyncio.TimerHandle | None = None
        """None while nothing is waited for."""
        self._untaken_bytes = 0
        """Of an answer that is written to its end, at the last look."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._rest()  # one that brings nothing is one between two requests

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except httptools.HttpParserError as error:  # a refusal of ours comes out of the parser as its cause
            self._refuse(error.__context__ if isinstance(error.__context__, HTTPError) else _INVALID)
        except HTTPError as refusal:
            self._refuse(refusal)
        else:
            self._watch()

    def on_header(self, name: bytes, value: bytes) -> None:
        # What stands behind a body in chunks (RFC 9110, section 6.5) is read and forgotten: among the headers it would
        # name a key, or an address, that no proxy has seen.
        if not self._in_message:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._resuming:
            return
        if len(self.headers) > MOST_HEADERS:
            raise _TOO_LARGE
        # A body may have come along: only then is more here than the headers.
        if self._head_bytes > LARGEST_HEAD_BYTES and sum(len(n) + len(v) for n, v in self.headers) > LARGEST_HEAD_BYTES:
            raise _TOO_LARGE
        if len(self.pipeline) >= MOST_AHEAD:
            raise _TOO_MANY_AHEAD
        self._stop_waiting()
        self._in_message, self._bodiless_bytes = True, 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._bodiless_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade() and self._has_body:
            return  # the parser believes so: see `_feed`
        self._in_message, self._head_bytes = False, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._untaken_bytes = self.transport.get_write_buffer_size()
        super().on_response_complete()

    def timeout_keep_alive_handler(self) -> None:
        """See `HttpToolsProtocol`. A caller that takes no more of its answer is not waited for; a slow one is."""
        untaken_bytes = self.transport.get_write_buffer_size()
        if untaken_bytes == 0:
            super().timeout_keep_alive_handler()
        elif self._untaken_bytes - untaken_bytes < LEAST_TAKEN_BYTES:
            self.transport.abort()
        else:  # a player that reads as fast as it plays needs minutes for a file of minutes
            self._untaken_bytes = untaken_bytes
            self._rest()

    def _feed(self, data: bytes) -> None:
        if self._in_message:
            self._bodiless_bytes += len(data)
        else:
            self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as pause:
            # Some clients offer HTTP/2 with every request (Java's does), and go on in HTTP/1.1 where nobody takes it
            # up. The parser stops here all the same, and has skipped the body: it is told again that there is one.
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

    def _watch(self) -> None:
        """What has begun to come, and nobody works on yet, must come to its end in time."""
        if self.transport.is_closing() or not (self.cycle is None or self.cycle.response_complete):
            return
        if self._in_message or self._head_bytes or self.cycle is None:
            self._wait_for_head()
        else:  # a body's end that came after the answer to it
            self._stop_waiting()
            self._rest()

    def _rest(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _wait_for_head(self) -> None:
        if self._patience is None:
            self._patience = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        self._patience = None
        self.transport.close()

    def _refuse(self, refusal: HTTPError) -> None:
        request_id = uuid.uuid4().hex
        log.info("no valid request", request_id=request_id, status=refusal.status, error=refusal.code)
        if not self.pipeline and (
            self.cycle is None or self.cycle.response_complete or not self.cycle.response_started
        ):
            reply = error_response(refusal, request_id)
            headers = [*self.server_state.default_headers, *reply.raw_headers]
            headers += [(b"x-request-id", request_id.encode()), (b"connection", b"close")]
            lines = b"".join(b"%b: %b\r\n" % header for header in headers)
            self.transport.write(b"".join((STATUS_LINE[refusal.status], lines, b"\r\n", reply.body)))
        self.transport.close()  # an answer that is on its way is cut: what would follow in it is none of its caller's
