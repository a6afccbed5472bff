"""The documentation for callers names every route, field, format and error of the server, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from starlette.routing import Route

from tts_server.app.asgi import ROUTERS
from tts_server.audio import FORMATS, SAMPLE_RATES_HZ, media_type
from tts_server.errors import Refused, TTSError
from tts_server.http.errors import HTTPError, status_of
from tts_server.routes import speech, synthesize

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "how-to" / "call.md").read_text(encoding="utf-8")
WAKER = (ROOT / "operator" / "tts_operator" / "waker" / "answers.py").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line.startswith("|")]
OF_STARLETTE = {"method_not_allowed": 405}


def table(first: str) -> list[list[str]]:
    """Rows of the table whose first column is called so."""
    start = next(number for number, row in enumerate(ROWS) if row[0] == first) + 2
    rows = ROWS[start:]
    end = next((number for number, row in enumerate(rows) if set(row[0]) == {"-"} or "---" in row[0]), len(rows) + 1)
    return rows[: end - 1]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def kinds(kind: type[TTSError]) -> Iterator[type[TTSError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from kinds(narrower)


def test_every_error_is_told_with_its_status() -> None:
    ours = {kind.code: status_of(kind) for kind in kinds(TTSError) if kind is not Refused}
    told = {code: int(status) for cell, status, _ in table("code") for code in names(cell)}
    of_waker = {code: int(status) for status, code in re.findall(r'Answer\(\s*(\d+),\s*"(\w+)"', WAKER)}
    assert len(of_waker) >= 5
    assert told == of_waker | ours | {kind.code: kind.status for kind in HTTPError.__subclasses__()} | OF_STARLETTE


@pytest.mark.parametrize(
    ("path", "body"), [(speech.PATH, speech.SpeechBody), ("/v1/tts/synthesize", synthesize.SynthesizeBody)]
)
def test_every_field_is_told(path: str, body: type[BaseModel]) -> None:
    told = {name.partition(".")[0] for cell, _ in table(f"field of `{path}`") for name in names(cell)}
    assert told == set(body.model_fields)


def test_every_route_is_told() -> None:
    ours = {
        re.sub(r":path}", "}", route.path)
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, Route) and not route.path.startswith(("/playground/", "/docs/"))
    }
    told = {name.split()[1] for cell, _ in table("route") for name in names(cell)}
    assert told == ours


def test_every_format_is_told_with_its_rates() -> None:
    told = {names(name)[0]: (names(kind)[0], rates) for name, kind, _, rates in table("format")}
    assert told == {
        name: (media_type(name), ", ".join(str(rate) for rate in SAMPLE_RATES_HZ[name])) for name in FORMATS
    }
