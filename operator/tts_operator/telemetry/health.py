"""What the kubelet asks: is this process alive, and is it of use."""

from collections.abc import Callable, Sequence

from aiohttp import web

PodFailure = Callable[[], Sequence[str]]
"""What is wrong right now, a line each; empty if nothing is."""


def health_app(sick: PodFailure, unready: PodFailure) -> web.Application:
    """Answers GET /healthz, where an error asks for a restart, and GET /readyz.

    Answering at all shows that the event loop turns. A replica that does not lead is healthy and ready.
    """

    async def healthz(_request: web.Request) -> web.Response:
        return problem(sick())

    async def readyz(_request: web.Request) -> web.Response:
        return problem(unready())

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    return app


def problem(lines: Sequence[str]) -> web.Response:
    """200, or 503 and what is wrong."""
    return web.Response(status=503 if lines else 200, text="\n".join(lines or ("ok",)) + "\n")
