"""Splits the text of a request into segments, which are synthesized one after the other."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from tts_server.errors import TextRejected
from tts_server.text.language_detection import has_detectable_script, is_silent, script_runs
from tts_server.text.language_tags import untag
from tts_server.text.languages import match
from tts_server.text.normalization import WORD_BREAK, normalized
from tts_server.text.parts import LONGEST_CHARACTERS, parts
from tts_server.text.pauses import Pause, pause_after
from tts_server.text.sentences import sentences


@dataclass(frozen=True, slots=True)
class Segment:
    """A sentence, a part of a long one, or some short ones: never empty, in one language, at most 240 characters."""

    text: str
    language: str | None
    """One of the known languages; None if none was detected and there is no default."""
    pause: Pause = Pause.NONE
    """The pause after it, if a segment follows."""


def segments(
    text: str,
    *,
    default_language: str | None = None,
    routed_languages: Collection[str] = (),
    requested_language: str | None = None,
    param: str = "input",
) -> list[Segment]:
    """Split `text` for synthesis. The language of a part is that of its tag, the request, its script, or the default.

    `routed_languages` are those that the tenant has voices for: only these, the default and the requested language
    are known to tags and detected by script. Latin text takes the default language, whatever it is written in. Every
    character that is not a space or a tag is in exactly one segment, in order, as `normalized` writes it.

    Raises `TextRejected`, with `param`, for empty text and for an unclosed tag.
    """
    others = [language for language in (requested_language, default_language) if language]
    known = [*routed_languages, *(language for language in others if match(language, routed_languages) is None)]
    found: list[Segment] = []
    # Tags first: a sign that only resembles `<` begins none.
    for tagged in untag(text, known, param=param):
        for segment in _split(normalized(tagged.text), tagged.language or requested_language, default_language, known):
            if segment.text:
                found.append(segment)
            elif found:  # line breaks alone
                found[-1] = replace(found[-1], pause=max(found[-1].pause, segment.pause))
    if not found:
        raise TextRejected("The text is empty.", param=param)
    return _joined(found)


def _split(text: str, fixed: str | None, default: str | None, known: Collection[str]) -> Iterator[Segment]:
    """Yield the segments of a text under one tag; those without text are line breaks between others."""
    one_language = fixed is not None or not has_detectable_script(text)
    language = default if fixed is None else fixed
    for sentence in sentences(text, language):
        for piece, piece_language in ((sentence, language),) if one_language else _languages(sentence, default, known):
            for part in parts(piece):
                yield Segment(part.replace(WORD_BREAK, "").strip(), piece_language, pause_after(part))


def _languages(sentence: str, default: str | None, known: Collection[str]) -> Iterator[tuple[str, str | None]]:
    """Split the sentence into pieces of one language each; neighbours of the same language stay one piece."""
    piece, language = "", default
    for run in script_runs(sentence):
        run_language = (match(run.language, known) if run.language else None) or default
        if piece and run_language != language:
            yield piece, language
            piece = ""
        piece, language = piece + run.text, run_language
    if piece:
        yield piece, language


def _joined(found: list[Segment]) -> list[Segment]:
    """Join segments without a letter or digit (a lone dash, a closing quote) to a neighbour: alone they are silent."""
    joined: list[Segment] = []
    last_is_silent = False
    for segment in found:
        silent = is_silent(segment.text)
        last = joined[-1] if joined else None
        if last is None or not (silent or last_is_silent) or not _fit(last, segment):
            joined.append(segment)
            last_is_silent = silent
        else:
            spoken = segment if last_is_silent else last
            joined[-1] = Segment(f"{last.text} {segment.text}", spoken.language, max(last.pause, segment.pause))
            last_is_silent = last_is_silent and silent
    return joined


def _fit(one: Segment, other: Segment) -> bool:
    return len(one.text) + len(other.text) < LONGEST_CHARACTERS
