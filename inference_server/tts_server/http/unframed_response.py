"""A response to an HTTP/1.0 client: it knows no chunks, so that a body without a length ends with its connection.

nginx speaks HTTP/1.0 to its upstreams by default, and passes on such a body as it comes.
"""

import socket
import struct
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of 0 s: closing resets the connection."""


class UnframedResponse(RequestResponseCycle):
    """A request and its response, as uvicorn has them, but for the framing of the body.

    A response that is cut ends with a reset: its client would take an orderly end for the end of the body.
    """

    is_unframed = False
    """Whether the end of the connection is the end of the body."""

    async def run_asgi(self, app: Any) -> None:
        await super().run_asgi(app)
        if self.is_unframed and not self.response_complete and not self.disconnected:
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = {name.lower() for name, _ in message.get("headers", ())}
            self.is_unframed = headers.isdisjoint({b"content-length", b"transfer-encoding"})
            if self.is_unframed:
                self.chunked_encoding = False
        elif self.is_unframed:
            self.expected_content_length = len(message.get("body", b""))  # each part is as long as it is
        await super().send(message)
