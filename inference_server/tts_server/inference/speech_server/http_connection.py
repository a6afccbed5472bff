"""One HTTP/1.1 connection to a speech server: a request out, the parts of its answer in as they arrive.

Of HTTP it has what an answer with audio needs, and no more: httpx spends a third of what this server computes for a
sentence (docs/decisions/0067-own-connections-to-speech-servers.md).
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import cast

import httptools

from tts_server.inference.speech_server.faults import ServerFault

LARGEST_HEAD_BYTES = 65_536
"""Most bytes before the body of an answer."""
MOST_WAITING_BYTES = 262_144
"""Bytes of audio that wait for the reader; then the server has to."""
SMALLEST_FINAL_STATUS = 200
"""Answers below are interim: another one follows."""


class HTTPConnection(asyncio.Protocol):
    """Sends one request after the other. `reusable` says whether another may follow."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.status = 0
        self.headers: dict[str, str] = {}
        """By lower-case name, of the answer that is being read."""
        self._closed = False
        self._parser: httptools.HttpResponseParser | None = None
        self._wakes: asyncio.Future[None] | None = None
        self._parts: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._paused = False
        self._began = self._complete = self._stays = self._is_framed = self._broken = False
        self._head_bytes = 0

    @property
    def reusable(self) -> bool:
        """Whether the last answer is complete and the server keeps the connection open."""
        return self._complete and self._stays and not self._closed

    def close(self) -> None:
        """End the connection at once, whatever is on its way."""
        self._closed = True
        if self.transport is not None:
            self.transport.abort()
        self._wake()

    async def ask(self, request: bytes) -> None:
        """Send a request; return with the head of its answer. Raises `ServerFault`."""
        self._forget_answer()
        self._parser = httptools.HttpResponseParser(self)
        transport = self.transport
        if self._closed or transport is None:
            raise ServerFault("cut")
        transport.write(request)
        while not self._began:
            self._raise_unless_open()
            await self._change()

    async def parts(self) -> AsyncGenerator[bytes]:
        """Yield the body as it arrives. Raises `ServerFault` if it ends too early."""
        while True:
            while self._parts:
                part = self._parts.popleft()
                self._waiting_bytes -= len(part)
                if self._paused and self._waiting_bytes <= MOST_WAITING_BYTES // 2:
                    self._resume()
                yield part
            if self._complete:
                return
            self._raise_unless_open()
            await self._change()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        parser = self._parser
        if parser is None or self._complete:  # nothing was asked for
            self.close()
            return
        if not self._began:
            self._head_bytes += len(data)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._broken = True
        if not self._began and self._head_bytes > LARGEST_HEAD_BYTES:
            self._broken = True
        if self._broken:
            self.close()
        elif self._waiting_bytes > MOST_WAITING_BYTES and not self._paused and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        return False  # the transport closes itself

    def connection_lost(self, exc: Exception | None) -> None:
        # A body without a length and not in chunks ends with the connection.
        if exc is None and self._began and not self._is_framed and not self._closed:
            self._complete = True
        self._closed = True
        self._wake()

    # httptools.HttpResponseParser

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._complete:
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        assert self._parser is not None  # noqa: S101 - it calls this
        if self._complete:  # of a second answer, for which nothing has asked
            self._stays = False
            return
        self.status = self._parser.get_status_code()
        if self.status < SMALLEST_FINAL_STATUS:
            self.headers = {}
            return
        chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
        self._is_framed = chunked or "content-length" in self.headers
        self._began = True

    def on_body(self, body: bytes) -> None:
        if self._complete:
            return
        self._parts.append(body)
        self._waiting_bytes += len(body)

    def on_message_complete(self) -> None:
        if self._began and not self._complete and self._parser is not None:
            self._complete = True
            self._stays = self._parser.should_keep_alive()

    def _forget_answer(self) -> None:
        self.status, self.headers = 0, {}
        self._began = self._complete = self._stays = self._is_framed = self._broken = False
        self._head_bytes = 0

    def _raise_unless_open(self) -> None:
        if self._broken:
            raise ServerFault("bad_http", began=self._began)
        if self._closed:
            raise ServerFault("cut", began=self._began)

    def _resume(self) -> None:
        self._paused = False
        if self.transport is not None and not self._closed:
            self.transport.resume_reading()

    async def _change(self) -> None:
        self._wakes = asyncio.get_running_loop().create_future()
        try:
            await self._wakes
        finally:
            self._wakes = None

    def _wake(self) -> None:
        if self._wakes is not None and not self._wakes.done():
            self._wakes.set_result(None)
