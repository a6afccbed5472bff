"""`GET /`: a page to try the tenant's voices from, where `playground` is on. Its files need no key, its data does."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tts_server.errors import Overloaded
from tts_server.http.caller import MEMBER, READING, server_of
from tts_server.http.ranges import is_known

router = APIRouter()

FOLDER = Path(__file__).parents[1] / "playground"
MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-cache",  # kept, but asked for each time: the page must fit the server that answers it
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    media_type: str
    etag: str


def _files() -> dict[str, _File]:
    """Every file of the page by its name. They are part of the program: read once, with it."""
    found = {}
    for path in sorted(FOLDER.iterdir()):
        content = path.read_bytes()
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        found[path.name] = _File(content, MEDIA_TYPES[path.suffix], etag)
    return found


FILES = _files()


@router.api_route("/", methods=READING)
async def page(request: Request) -> Response:
    """The page itself."""
    return _answer(request, "index.html")


@router.api_route("/playground/{name}", methods=READING)
async def asset(request: Request, name: str) -> Response:
    """What the page consists of."""
    return _answer(request, name)


def _answer(request: Request, name: str) -> Response:
    snapshot = server_of(request).snapshot
    if snapshot is None:
        raise Overloaded("The engines are still loading.")
    file = FILES.get(name)
    if file is None or not snapshot.config.playground or snapshot.config.role == MEMBER:
        raise HTTPException(404)
    headers = HEADERS | {"ETag": file.etag}
    if is_known(file.etag, request.headers):
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)
