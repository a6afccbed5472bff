"""Liveness and readiness endpoints for the kubelet."""

from collections.abc import Callable, Sequence

from aiohttp import web

HealthCheck = Callable[[], Sequence[str]]
"""Returns current health problems, one line each."""


def health_app(liveness: HealthCheck, readiness: HealthCheck) -> web.Application:
    """Serves GET /healthz, where a 503 makes the kubelet restart the container, and GET /readyz.

    Any response shows that the event loop is running. A replica that does not lead is healthy and ready.
    """

    async def healthz(_request: web.Request) -> web.Response:
        return health_response(liveness())

    async def readyz(_request: web.Request) -> web.Response:
        return health_response(readiness())

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    return app


def health_response(problems: Sequence[str]) -> web.Response:
    """A response with status 200, or 503 and the problems."""
    return web.Response(status=503 if problems else 200, text="\n".join(problems or ("ok",)) + "\n")
