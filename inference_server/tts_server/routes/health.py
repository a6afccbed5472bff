"""What the kubelet asks."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tts_server.errors import Draining, Overloaded
from tts_server.http.caller import READING, server_of

router = APIRouter()


@router.api_route("/healthz", methods=READING)
async def healthz() -> Response:
    """The process answers: restarting it would mend nothing."""
    return JSONResponse({"status": "ok"})


@router.api_route("/readyz", methods=READING)
async def readyz(request: Request) -> Response:
    """Engines are loaded and warm, and this replica is not about to end."""
    server = server_of(request)
    if server.draining:
        raise Draining("This replica is about to end.")
    if not server.ready:
        raise Overloaded("The engines are not ready.")
    return JSONResponse({"status": "ready"})
