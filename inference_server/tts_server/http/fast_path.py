"""Calls the endpoints that speak without FastAPI's layers: docs/decisions/0014-what-goes-round-fastapi.md.

The application has these routes too, for `/openapi.json` and for the other methods of their paths.
"""

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tts_server.http.request_context import context_of

Endpoint = Callable[[Request], Awaitable[Response]]
Handle = Callable[[Request, Exception], Awaitable[Response]]


class FastPath:
    """Wraps an application: a POST to such a path goes to its endpoint, and an error to the handler of its kind."""

    def __init__(
        self, app: ASGIApp, endpoints: Mapping[str, Endpoint], handlers: Mapping[type[Exception], Handle]
    ) -> None:
        self._app = app
        self._endpoints = endpoints
        self._handlers = handlers
        self._kinds = tuple(handlers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._endpoints.get(scope["path"]) if scope.get("method") == "POST" else None
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        scope["app"] = self._app
        request = Request(scope, receive, send)
        try:
            response = await endpoint(request)
            await response(scope, receive, send)
        except self._kinds as error:
            if context_of(scope).status:
                raise  # the answer has begun
            refusal = await self._handler(error)(request, error)
            await refusal(scope, receive, send)

    def _handler(self, error: Exception) -> Handle:
        return next(self._handlers[kind] for kind in type(error).__mro__ if kind in self._handlers)
