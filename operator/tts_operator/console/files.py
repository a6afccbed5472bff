"""Files of the page: its own, and those that it shares with the pages of `tts-server`."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

import tts_server

SHARED = Path(tts_server.__file__).parent
"""Folder with `page_style`, the look of every page, and with the playground, which speaks for the console too."""
MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every answer. The address holds the token: no cache keeps it, and no other site learns it."""
HEAD = "<head>"


@dataclass(frozen=True, slots=True)
class File:
    """One file of a page."""

    content: bytes
    media_type: str


def read(*folders: Path) -> dict[str, File]:
    """Files of these folders, by name."""
    paths = [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix in MEDIA_TYPES]
    return {path.name: File(path.read_bytes(), MEDIA_TYPES[path.suffix]) for path in paths}


PLAYGROUND = read(SHARED / "playground", SHARED / "page_style")
SPEECH = {name: PLAYGROUND[name] for name in ("api.js", "sound.js")}
"""Client and player of speech, as in the playground."""
CONSOLE = {**read(SHARED / "page_style", Path(__file__).parent / "page"), **SPEECH}


def playground_page(endpoint: str) -> File:
    """The playground, whose curl command names the tenant's own address: that of the console holds a token."""
    page = PLAYGROUND["index.html"].content.decode()
    meta = f'{HEAD}\n  <meta name="endpoint" content="{html.escape(endpoint, quote=True)}">'
    return File(page.replace(HEAD, meta, 1).encode(), "text/html")
