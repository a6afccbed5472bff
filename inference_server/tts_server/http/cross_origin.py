"""Lets pages of other origins call the API (CORS, the Fetch standard), where `cors` in the configuration allows them.

Credentials are sent in the header `Authorization`, never in cookies, so that an allowed origin has no more than a key
that it was given.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tts_server.config.schema import CorsConfig
from tts_server.http.openapi import HEADERS
from tts_server.http.rate_limit_headers import Headers
from tts_server.pipeline.server import ServerState

ANY = "*"
METHODS = b"GET, HEAD, POST"
EXPOSED = ", ".join(HEADERS).encode()
"""Every header that the document of the API names: pages read no others than these."""


class CrossOrigin:
    """Wraps an application: answers preflights, and adds the headers to every answer, errors included."""

    def __init__(self, app: ASGIApp, server: ServerState) -> None:
        self._app = app
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        snapshot = self._server.snapshot
        cors = snapshot.config.cors if snapshot is not None else None
        if scope["type"] != "http" or cors is None:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        allowed = allowed_origin(headers.get(b"origin", b""), cors)
        if allowed and scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            requested = headers.get(b"access-control-request-headers", b"")
            await send({"type": "http.response.start", "status": 204, "headers": _preflight(allowed, requested, cors)})
            await send({"type": "http.response.body", "body": b""})
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_exposing(allowed, cors)]
            await send(message)

        await self._app(scope, receive, answer)


def allowed_origin(origin: bytes, cors: CorsConfig) -> bytes:
    """Return the value of `Access-Control-Allow-Origin`; empty for a request of no origin, or of one not allowed."""
    if origin and ANY in cors.allowed_origins:
        return b"*"
    return origin if origin.decode("latin-1").lower() in cors.allowed_origins else b""


def _exposing(allowed: bytes, cors: CorsConfig) -> Headers:
    headers = [] if ANY in cors.allowed_origins else [(b"vary", b"Origin")]
    if allowed:
        headers += [(b"access-control-allow-origin", allowed), (b"access-control-expose-headers", EXPOSED)]
    return headers


def _preflight(allowed: bytes, requested: bytes, cors: CorsConfig) -> Headers:
    """Allow whichever headers are asked for: clients such as OpenAI's send a dozen of their own."""
    return [
        (b"access-control-allow-origin", allowed),
        (b"access-control-allow-methods", METHODS),
        *([(b"access-control-allow-headers", requested)] if requested else []),
        (b"access-control-max-age", str(cors.max_age_seconds).encode()),
        (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    ]
