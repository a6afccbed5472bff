"""`GET /healthz` and `GET /readyz`: the probes of the kubelet."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request

from tts_server.errors import Draining, Overloaded
from tts_server.http.caller import READING, server_of
from tts_server.http.openapi import errors, ok
from tts_server.http.openapi import request as reads

router = APIRouter(tags=["Probes"])


class Health(BaseModel):
    """A probe that succeeded."""

    status: Literal["ok", "ready"]


@router.api_route(
    "/healthz", methods=READING, responses=ok("The process answers."), openapi_extra=reads(credentials=())
)
async def healthz() -> Health:
    """Whether the process answers: a restart would repair nothing."""
    return Health(status="ok")


@router.api_route(
    "/readyz",
    methods=READING,
    responses=ok("The server can speak.") | errors(Draining, Overloaded),
    openapi_extra=reads(credentials=()),
)
async def readyz(request: Request) -> Health:
    """Whether engines are loaded and warm, and this replica is not shutting down."""
    server = server_of(request)
    if server.draining:
        raise Draining("This replica is shutting down.")
    if not server.ready:
        raise Overloaded("The engines are not ready.")
    return Health(status="ready")
