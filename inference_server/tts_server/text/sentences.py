"""Finds where sentences end.

A line break ends one: after a title, an item of a list, a line of a poem. Within a line, `sentencex` finds the ends by
the rules and abbreviations of the text's language. It prefers not to split in doubt, and so do the corrections below:
two sentences in one segment sound right, half a sentence does not. See docs/decisions/0028-sentence-ends.md.
"""

import re
from collections.abc import Iterator

import sentencex

from tts_server.text.abbreviations import BEFORE_A_NUMBER, BEFORE_A_WORD

_LINE = re.compile(r"[^\n]*+(?:\n\s*+|$)")
_ELLIPSIS = re.compile(r"[^…]*+…++(?=[\u2e80-\u9fff\uac00-\ud7ff])|.+", re.DOTALL)
"""Text up to an ellipsis inside Chinese, Japanese or Korean, which needs no space after it."""
_LAST_WORD = re.compile(r"([^\s\"'“„‘’«(\[]+)\.\s*+$")
_INITIALS = re.compile(r"(?:[^\W\d_]\.-?)*+[^\W\d_]")
"""`J`, `U.S`, `J.-P`: one letter before each full stop."""
_NUMBER_OF_AN_ITEM = re.compile(r"[\s\"'“„‘«(\[*•–-]*+(?:\d{1,3}|[^\W\d_]|[ivx]{1,4}|[IVX]{1,4})[.)]\s*+")
_GERMAN_ORDINAL = re.compile(
    r"\b(?:de[rmsn]|die|das|[ai]m|vom|zu[mr]|beim|ab|bis|seit|und|oder|jede[rmsn]?|ihre?[rmsn]?|seine?[rmsn]?|unsere?[rmsn]?)"
    r"\s\d{1,2}\.\s*+$",
    re.IGNORECASE,
)
_GERMAN_START = re.compile(
    r"(?:Ich|Du|Er|Sie|Es|Wir|Ihr|Man|D(?:as|er|ie|ann|ort|a)|Hier|Jetzt|Heute|Aber|Und|Danach)\b"
)
"""Words that begin a sentence, and are no noun after an ordinal."""
_PIECE_CHARACTERS = 4096
"""Length of a line that is segmented at once: the time that `sentencex` takes grows with its square."""
_END_CHARACTERS = 48
"""Length of the end of a sentence in which the rules look."""


def lines(text: str) -> Iterator[str]:
    """Yield the lines of `text`, each with the line breaks and the spaces behind it: together, every character."""
    yield from (line for line in _LINE.findall(text) if line)


def sentences(text: str, language: str | None = None) -> Iterator[str]:
    """Yield the sentences of `text` with the spaces and line breaks behind them: together, every character of it.

    `text` is normalized. `language` is a BCP 47 tag; a language without rules has those of English.
    """
    code = (language or "en").partition("-")[0].lower()
    for line in lines(text):
        if words := line.rstrip():
            yield from _sentences_of_line(words, line[len(words) :], code)
        else:
            yield line


def _sentences_of_line(line: str, space: str, language: str) -> Iterator[str]:
    start = end = 0
    for piece in _pieces(line, language):
        if end > start and not _continues(line, start, end, language):
            yield line[start:end]
            start = end
        end += len(piece)
    yield line[start:] + space


def _pieces(line: str, language: str) -> Iterator[str]:
    for piece in _segments(line, language):
        if "…" in piece:
            yield from _ELLIPSIS.findall(piece)
        else:
            yield piece


def _segments(line: str, language: str) -> Iterator[str]:
    """Segment a line part by part. The last sentence of a part goes on in the next, unless it is as long as a part."""
    rest = ""
    for start in range(0, len(line), _PIECE_CHARACTERS):
        *whole, rest = sentencex.segment(language, rest + line[start : start + _PIECE_CHARACTERS])
        yield from whole
        if len(rest) >= _PIECE_CHARACTERS:
            yield rest
            rest = ""
    if rest:
        yield rest


def _continues(line: str, start: int, end: int, language: str) -> bool:
    """Whether the sentence `line[start:end]` goes on after its full stop."""
    if end - start <= 8 and _NUMBER_OF_AN_ITEM.fullmatch(line, start, end):
        return True
    tail = line[max(start, end - _END_CHARACTERS) : end]
    last = _LAST_WORD.search(tail)
    if last is None:
        return False
    word, following = last[1].lower(), line[end]
    return (
        (following.islower() and not _NUMBER_OF_AN_ITEM.match(line, end))
        or word in BEFORE_A_WORD.get(language, ())
        or (following.isdigit() and word in BEFORE_A_NUMBER.get(language, ()))
        # The pronoun I ends sentences often enough.
        or (word != "i" and _INITIALS.fullmatch(word) is not None)
        or (language == "de" and _GERMAN_ORDINAL.search(tail) is not None and not _GERMAN_START.match(line, end))
    )
