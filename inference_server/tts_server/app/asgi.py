"""Builds the ASGI application: all routes, and one answer to whatever they raise."""

import importlib.metadata
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tts_server.errors import TTSError
from tts_server.http.arrival_throttle import ArrivalThrottle
from tts_server.http.body import invalid_parameter
from tts_server.http.cross_origin import CrossOrigin
from tts_server.http.errors import HTTPError, describe, error_response
from tts_server.http.fast_path import FastPath, Handle
from tts_server.http.incoming_bodies import IncomingBodies
from tts_server.http.openapi import document
from tts_server.http.request_context import (
    HUNG_UP,
    UNLOGGED_PATHS,
    ClientDisconnected,
    RequestContextMiddleware,
    context_of,
)
from tts_server.http.slashes import SlashRepair
from tts_server.pipeline.server import ServerState
from tts_server.routes import audio, docs, health, playground, speech, synthesize, token, usage
from tts_server.routes import models as catalogue

ROUTERS = tuple(
    module.router for module in (speech, synthesize, audio, catalogue, token, usage, health, playground, docs)
)
FAST_ROUTES = {speech.PATH: speech.speech, synthesize.PATH: synthesize.synthesize}
BODIES = (speech.SpeechBody, synthesize.SynthesizeBody, token.TokenBody)


class Routes(FastAPI):
    """Every route, described by one document."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = document(self, BODIES)
        return self.openapi_schema


def routes() -> Routes:
    """Build the application without what goes round it."""
    app = Routes(
        version=importlib.metadata.version("ttsfleet"),
        redirect_slashes=False,
        openapi_url=None,
        generate_unique_id_function=_operation_id,
    )
    for router in ROUTERS:
        app.include_router(router)
    return app


def asgi(server: ServerState) -> ASGIApp:
    """Build the application of a server."""
    app = routes()
    app.state.server = server
    app.state.incoming_bodies = IncomingBodies()
    handlers: dict[type[Exception], Handle] = {TTSError: _refuse, HTTPError: _refuse, HTTPException: _refuse}
    handlers[ClientDisconnected] = _disconnected
    for kind, handle in handlers.items():
        app.add_exception_handler(kind, handle)
    app.add_exception_handler(RequestValidationError, _refuse_parameter)
    app.add_exception_handler(Exception, _refuse)
    inner = ArrivalThrottle(FastPath(app, FAST_ROUTES, handlers), UNLOGGED_PATHS)
    return SlashRepair(CrossOrigin(RequestContextMiddleware(inner, server), server))


def _operation_id(route: APIRoute) -> str:
    return route.name


async def _refuse(request: Request, error: Exception) -> Response:
    context = context_of(request.scope)
    context.failure = context.failure or describe(error)[2]
    return error_response(error, context.request_id)


async def _refuse_parameter(request: Request, error: Exception) -> Response:
    """Answer 400, as for a body, where FastAPI has 422 and a shape of its own."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - it is registered for these only
    first = error.errors()[0]
    return await _refuse(request, invalid_parameter(first["loc"][1:], first["type"], first["msg"]))


async def _disconnected(request: Request, error: Exception) -> Response:
    del error
    context = context_of(request.scope)
    context.status, context.failure = HUNG_UP, "hung_up"
    return _NoResponse()


class _NoResponse(Response):
    """Sends nothing: the client has disconnected."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive, send
