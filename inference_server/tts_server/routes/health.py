"""What the kubelet asks."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tts_server.errors import Draining, Overloaded
from tts_server.routes.common import server_of

router = APIRouter()


@router.get("/healthz")
async def healthz() -> Response:
    """The process answers: restarting it would mend nothing."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """Engines are loaded and warm, and this replica is not about to end."""
    server = server_of(request)
    if server.draining:
        raise Draining("This replica is about to end.")
    if not server.ready:
        raise Overloaded("The engines are not ready.")
    return JSONResponse({"status": "ready"})
