"""`GET /`: a page to try the tenant's voices from, where `playground` is on. Its files need no key, its data does."""

from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tts_server.http.caller import READING
from tts_server.http.errors import NotFound
from tts_server.http.openapi import request as reads
from tts_server.http.static_files import ANSWERS, STYLE_FOLDER, entry_config, file_response, read_files

router = APIRouter(tags=["Pages"], responses=ANSWERS)

FOLDER = Path(__file__).parents[1] / "playground"
FILES = read_files(FOLDER, STYLE_FOLDER)
READS = reads(headers=("If-None-Match",), credentials=())


@router.api_route("/", methods=READING, openapi_extra=READS, response_class=Response)
async def playground(request: Request) -> Response:
    """The playground's page, where `playground` is on."""
    return _file(request, "index.html")


@router.api_route("/playground/{name}", methods=READING, openapi_extra=READS, response_class=Response)
async def playground_file(request: Request, name: str) -> Response:
    """A file of the playground's page."""
    return _file(request, name)


def _file(request: Request, name: str) -> Response:
    if not entry_config(request).playground:
        raise NotFound
    return file_response(request, FILES, name)
