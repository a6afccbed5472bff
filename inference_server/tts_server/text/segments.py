"""From a caller's text to the segments that are spoken one after the other."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from tts_server.errors import TextRejected
from tts_server.text.language_detection import is_silent, script_runs, tells_languages
from tts_server.text.language_tags import untag
from tts_server.text.languages import match
from tts_server.text.sentences import LONGEST_CHARACTERS, parts, sentences


@dataclass(frozen=True, slots=True)
class Segment:
    """A sentence, a part of a long one, or some short ones: never empty, in one language, at most 240 characters."""

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

    `routed_languages` are those that this tenant can speak: only these (and the default and the requested one) are
    known to tags and chosen by script. Latin text takes the default language, whatever it is written in. Every
    character that is not a space or a tag is in exactly one segment, in order.

    Raises `TextRejected`, naming `param`, for text with nothing in it and for an unclosed tag.
    """
    others = [language for language in (requested_language, default_language) if language]
    known = [*routed_languages, *(language for language in others if match(language, routed_languages) is None)]
    found: list[Segment] = []
    for tagged in untag(text, known, param=param):
        found.extend(_spoken(tagged.text, tagged.language or requested_language, default_language, known))
    if not found:
        raise TextRejected("The text is empty: there is nothing to speak.", param=param)
    return _joined(found)


def _spoken(text: str, fixed: str | None, default: str | None, known: Collection[str]) -> Iterator[Segment]:
    alike = fixed is not None or not tells_languages(text)
    language = default if fixed is None else fixed
    for sentence in sentences(text):
        for piece, spoken in ((sentence, language),) if alike else _languages(sentence, default, known):
            for part in parts(piece):
                if stripped := part.strip():
                    yield Segment(stripped, spoken)


def _languages(sentence: str, default: str | None, known: Collection[str]) -> Iterator[tuple[str, str | None]]:
    """The sentence in pieces of one language each: neighbours that turn out the same are one piece again."""
    piece, language = "", default
    for run in script_runs(sentence):
        spoken = (match(run.language, known) if run.language else None) or default
        if piece and spoken != language:
            yield piece, language
            piece = ""
        piece, language = piece + run.text, spoken
    if piece:
        yield piece, language


def _joined(found: list[Segment]) -> list[Segment]:
    """Give what has no letter or digit (a lone dash, a closing quote) to its neighbour: alone it is a silence."""
    joined: list[Segment] = []
    last_is_silent = False
    for segment in found:
        silent = is_silent(segment.text)
        last = joined[-1] if joined else None
        if last is None or not (silent or last_is_silent) or not _fit(last, segment):
            joined.append(segment)
            last_is_silent = silent
        else:
            said = segment if last_is_silent else last
            joined[-1] = Segment(f"{last.text} {segment.text}", said.language)
            last_is_silent = last_is_silent and silent
    return joined


def _fit(one: Segment, other: Segment) -> bool:
    return len(one.text) + len(other.text) < LONGEST_CHARACTERS
