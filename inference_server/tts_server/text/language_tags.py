"""Parses `<lang=xx>…</lang>`, by which a request sets the language of a part of its text."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from tts_server.errors import TextRejected
from tts_server.text.languages import match

_TAG = re.compile(r"<lang=([A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*)>|</lang>")


@dataclass(frozen=True, slots=True)
class Tagged:
    """A part of the text under one tag; language is None outside of all tags."""

    text: str
    language: str | None


def untag(text: str, known: Collection[str], *, param: str) -> list[Tagged]:
    """Remove the tags. Returns non-empty parts in order; tags may be nested, the innermost wins.

    A tag whose language is not `known` is text, and so is a `</lang>` that closes nothing, and any other `<`. Raises
    `TextRejected` for a known tag that is never closed.
    """
    if "<" not in text:
        return [Tagged(text, None)] if text else []
    parts: list[Tagged] = []
    open_languages: list[str] = []
    start = 0
    for tag in _TAG.finditer(text):
        language = match(tag[1], known) if tag[1] else None
        if language is None and (tag[1] or not open_languages):
            continue
        _add(parts, text[start : tag.start()], open_languages)
        start = tag.end()
        if language is not None:
            open_languages.append(language)
        else:
            open_languages.pop()
    if open_languages:
        raise TextRejected(f"<lang={open_languages[-1]}> is never closed. Add </lang>.", param=param)
    _add(parts, text[start:], open_languages)
    return parts


def _add(parts: list[Tagged], text: str, open_languages: list[str]) -> None:
    if text:
        parts.append(Tagged(text, open_languages[-1] if open_languages else None))
