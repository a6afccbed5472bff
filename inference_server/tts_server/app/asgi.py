"""All routes over a server, and one answer to whatever they raise."""

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tts_server.errors import TTSError
from tts_server.http.arrival_throttle import ArrivalThrottle
from tts_server.http.errors import HTTPError, describe, error_response
from tts_server.http.fast_path import FastPath, Handle
from tts_server.http.request_context import (
    HUNG_UP,
    UNLOGGED_PATHS,
    ClientDisconnected,
    RequestContextMiddleware,
    conversation_of,
)
from tts_server.pipeline.server import ServerState
from tts_server.routes import audio, health, playground, speech, synthesize, token, usage
from tts_server.routes import models as catalogue


def asgi(server: ServerState) -> ASGIApp:
    """The application."""
    app = FastAPI(title="TTS Fleet", redirect_slashes=False, openapi_url=None)
    app.state.server = server
    for module in (speech, synthesize, audio, catalogue, token, usage, health, playground):
        app.include_router(module.router)
    handlers: dict[type[Exception], Handle] = {TTSError: _refuse, HTTPError: _refuse, HTTPException: _refuse}
    handlers[ClientDisconnected] = _leave
    for kind, handle in handlers.items():
        app.add_exception_handler(kind, handle)
    app.add_exception_handler(Exception, _refuse)
    return RequestContextMiddleware(
        ArrivalThrottle(FastPath(app, {speech.PATH: speech.speech}, handlers), UNLOGGED_PATHS), server
    )


async def _refuse(request: Request, error: Exception) -> Response:
    context = conversation_of(request.scope)
    context.failure = context.failure or describe(error)[2]
    return error_response(error, context.request_id)


async def _leave(request: Request, error: Exception) -> Response:
    del error
    context = conversation_of(request.scope)
    context.status, context.failure = HUNG_UP, "hung_up"
    return _Silence()


class _Silence(Response):
    """Nobody is there to be answered."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive, send
