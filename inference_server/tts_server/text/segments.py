"""Splits the text of a request into segments, which are synthesized one after the other."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from tts_server.errors import TextRejected
from tts_server.text.language_detection import Detector, Identify, is_silent
from tts_server.text.language_tags import untag
from tts_server.text.languages import match
from tts_server.text.normalization import WORD_BREAK, normalized
from tts_server.text.parts import LONGEST_CHARACTERS, parts
from tts_server.text.pauses import Pause, pause_after
from tts_server.text.sentences import lines, sentences


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
    identify: Identify | None = None,
    param: str = "input",
) -> list[Segment]:
    """Split `text` for synthesis. The language of a part is that of its tag, the request, detection, or the default.

    `routed_languages` are those that the tenant has voices for: only these, the default and the requested language
    are known to tags and to detection. Without `identify`, which compares languages of one script, text in a script of
    several known languages takes the default. Every character that is not a space or a tag is in exactly one segment,
    in order, as `normalized` writes it.

    Raises `TextRejected`, with `param`, for empty text and for an unclosed tag.
    """
    others = [language for language in (requested_language, default_language) if language]
    known = [*routed_languages, *(language for language in others if match(language, routed_languages) is None)]
    found: list[Segment] = []
    detector = Detector(default_language, known, identify)
    # Tags first: a sign that only resembles `<` begins none.
    for tagged in untag(text, known, param=param):
        for segment in _split(normalized(tagged.text), tagged.language or requested_language, detector):
            if segment.text:
                found.append(segment)
            elif found:  # line breaks alone
                found[-1] = replace(found[-1], pause=max(found[-1].pause, segment.pause))
    if not found:
        raise TextRejected("The text is empty.", param=param)
    return _joined(found)


def _split(text: str, fixed: str | None, detector: Detector) -> Iterator[Segment]:
    """Yield the segments of a text under one tag; those without text are line breaks between others."""
    for sentence, language in _sentences(text, fixed, detector):
        for part in parts(sentence):
            yield Segment(part.replace(WORD_BREAK, "").strip(), language, pause_after(part))


def _sentences(text: str, fixed: str | None, detector: Detector) -> Iterator[tuple[str, str | None]]:
    """Yield sentences, and parts of those in several languages: each in one language, with the spaces behind it."""
    if fixed is not None or not detector.may_differ(text):
        language = detector.default if fixed is None else fixed
        for sentence in sentences(text, language):
            yield sentence, language
        return
    whole = detector.language(text, detector.default)
    for line in lines(text):
        around = detector.language(line, whole)
        for sentence in sentences(line, around):
            for run in detector.runs(sentence, around):
                yield run.text, run.language


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
