"""All routes over a server, and one answer to whatever they raise."""

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tts_server.errors import TTSError
from tts_server.http.arrival_throttle import Intake
from tts_server.http.errors import HTTPError, describe, error_response
from tts_server.http.fast_path import Direct, Handle
from tts_server.http.request_context import HUNG_UP, QUIET, Conversations, HungUp, conversation_of
from tts_server.pipeline.server import Server
from tts_server.routes import audio, health, playground, speech, synthesize, token, usage
from tts_server.routes import models as catalogue


def asgi(server: Server) -> ASGIApp:
    """The application."""
    app = FastAPI(title="TTS Fleet", redirect_slashes=False, openapi_url=None)
    app.state.server = server
    for module in (speech, synthesize, audio, catalogue, token, usage, health, playground):
        app.include_router(module.router)
    handlers: dict[type[Exception], Handle] = {TTSError: _refuse, HTTPError: _refuse, HTTPException: _refuse}
    handlers[HungUp] = _leave
    for kind, handle in handlers.items():
        app.add_exception_handler(kind, handle)
    app.add_exception_handler(Exception, _refuse)
    return Conversations(Intake(Direct(app, {speech.PATH: speech.speech}, handlers), QUIET), server)


async def _refuse(request: Request, error: Exception) -> Response:
    talk = conversation_of(request.scope)
    talk.failure = talk.failure or describe(error)[2]
    return error_response(error, talk.request_id)


async def _leave(request: Request, error: Exception) -> Response:
    del error
    talk = conversation_of(request.scope)
    talk.status, talk.failure = HUNG_UP, "hung_up"
    return _Silence()


class _Silence(Response):
    """Nobody is there to be answered."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive, send
