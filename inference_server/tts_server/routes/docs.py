"""`GET /openapi.json` describes every route; `GET /docs` is a page that shows it, where `docs` is on."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tts_server.http.caller import READING
from tts_server.http.errors import NotFound
from tts_server.http.openapi import ok
from tts_server.http.openapi import request as reads
from tts_server.http.static_files import ANSWERS, STYLE_FOLDER, entry_config, file_response, read_files

router = APIRouter(tags=["Pages"])

FOLDER = Path(__file__).parents[1] / "docs_page"
FILES = read_files(FOLDER, STYLE_FOLDER)
READS = reads(headers=("If-None-Match",), credentials=())
SCHEMA = ok("The document.")


@router.api_route("/openapi.json", methods=READING, responses=SCHEMA, openapi_extra=reads(credentials=()))
async def openapi(request: Request) -> dict[str, Any]:
    """This document (OpenAPI 3.1)."""
    described: dict[str, Any] = request.app.openapi()
    return described


@router.api_route("/docs", methods=READING, openapi_extra=READS, responses=ANSWERS, response_class=Response)
async def docs(request: Request) -> Response:
    """A page that shows this document, where `docs` is on."""
    return _file(request, "index.html")


@router.api_route("/docs/{name}", methods=READING, openapi_extra=READS, responses=ANSWERS, response_class=Response)
async def docs_file(request: Request, name: str) -> Response:
    """A file of that page."""
    return _file(request, name)


def _file(request: Request, name: str) -> Response:
    if not entry_config(request).docs:
        raise NotFound
    return file_response(request, FILES, name)
