"""Serves the files of a page that is part of the program: read once, with an ETag, under a strict content policy."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from tts_server.config.schema import ServerConfig
from tts_server.errors import Overloaded
from tts_server.http.caller import MEMBER, server_of
from tts_server.http.errors import NotFound
from tts_server.http.openapi import Description, answer, errors
from tts_server.http.ranges import is_known

MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-cache",  # a browser keeps the file and asks each time whether it still fits this server
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
STYLE_FOLDER = Path(__file__).parents[1] / "page_style"
"""Files of every page: colours and the icon. Each page serves them at an address of its own."""
ANSWERS: dict[int | str, Description] = {
    200: answer("The file.", "ETag", *HEADERS, media_types=MEDIA_TYPES.values()),
    304: answer("The client has the file already.", "ETag", *HEADERS),
    **errors(NotFound, Overloaded),
}
"""Answers of a route that serves such a file."""


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file of a page."""

    content: bytes
    media_type: str
    etag: str


def read_files(*folders: Path) -> dict[str, StaticFile]:
    """Read every file of these folders, by its name."""
    files = {}
    for path in sorted(path for folder in folders for path in folder.iterdir()):
        content = path.read_bytes()
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        files[path.name] = StaticFile(content, MEDIA_TYPES[path.suffix], etag)
    return files


def entry_config(request: Request) -> ServerConfig:
    """Return the configuration of an Entry pool. Raises `NotFound` in a Member, `Overloaded` before the first one."""
    snapshot = server_of(request).snapshot
    if snapshot is None:
        raise Overloaded("The engines are still loading.")
    if snapshot.config.role == MEMBER:
        raise NotFound
    return snapshot.config


def file_response(request: Request, files: Mapping[str, StaticFile], name: str) -> Response:
    """Answer with a file, or 304. Raises `NotFound`."""
    file = files.get(name)
    if file is None:
        raise NotFound
    headers = HEADERS | {"ETag": file.etag}
    if is_known(file.etag, request.headers):
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)
