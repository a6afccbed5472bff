"""Splits text of any script into sentences, and long sentences into parts.

The rules are our own: available libraries are for European languages, need the whole text, or are unmaintained.
"""

import re
import unicodedata
from collections.abc import Iterator

LONGEST_CHARACTERS = 240
"""Longest segment, about 15 s of English: a client waits for the first one, so it must not be a chapter."""
LONGEST_DENSE_CHARACTERS = 100
"""Longest segment in scripts in which a character is a syllable or a word."""

# Ends that need no space after them, and ends that do: 3.14, example.com and U.S.A. have a full stop, too.
_DENSE_ENDS = "。！？｡．︒"
_SPACED_ENDS = ".!?…‽⁇⁈⁉؟۔।॥։።፧၊။។៕᙮᠃᠉⸮"
_CLOSERS = "\"'”’»)]}）」』】》〉〕］｝›"
# Possessive, and only from the first of several marks: a text of only marks must not take quadratic time.
_ALL_ENDS = _DENSE_ENDS + _SPACED_ENDS
_MARKS, _DENSE_MARKS = frozenset(_ALL_ENDS), frozenset(_DENSE_ENDS)
_END = re.compile(
    rf"(?:[{_DENSE_ENDS}]++[{_ALL_ENDS}]*+[{re.escape(_CLOSERS)}]*+"
    rf"|(?<![{_ALL_ENDS}])[{_SPACED_ENDS}]++[{re.escape(_CLOSERS)}]*+(?=\s|$)"
    # Scripts without spaces between sentences end them all the same.
    r"|[।॥።။។؟۔]++"
    rf"|(?<![{_ALL_ENDS}])[!?…]++[{re.escape(_CLOSERS)}]*+(?=[\u2E80-\u9FFF\uAC00-\uD7FF])"
    r"|\n[^\S\n]*+\n|[\u2028\u2029]"
    r")\s*+"
)
_FIRST_OF_END = re.compile(rf"[{_ALL_ENDS}\n\u2028\u2029]")
"""First character of an end. Searched first: at most characters the longer pattern would only fail."""
_PAUSE = re.compile(r"[,;:،؛、，；：·—–]+[\"'”’»)\]）」』]*\s*|\n")
# Titles and connectives of languages in Latin script that never end a sentence.
_ABBREVIATIONS = frozenset((
    "mr", "mrs", "ms", "dr", "prof", "sr", "jr", "st", "mt", "gen", "col", "capt", "lt", "sgt", "rev", "hon",
    "vs", "etc", "e.g", "i.e", "cf", "ca", "approx", "vol", "ed", "eds", "inc", "ltd", "co", "corp", "bros", "dept",
    "jan", "feb", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
    "bzw", "z.b", "d.h", "u.a", "usw", "mme", "mlle", "sra", "dña", "uds", "pág", "núm", "dott", "avv",
))  # fmt: skip
_BEFORE_A_NUMBER = frozenset(("no", "nos", "nr", "fig", "p", "pp", "art", "ch", "sec", "str", "n", "num", "mar"))
_INITIALS = re.compile(r"(?:[^\W\d_]\.)*+[^\W\d_]")
_LONGEST_WORD = 40
"""Longest word before a full stop that may be an abbreviation."""


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of `text` with the spaces behind them: together, every character of it."""
    start, seen = 0, 0
    for first in _FIRST_OF_END.finditer(text):
        if first.start() < seen or (end := _END.match(text, first.start())) is None:
            continue
        seen = end.end()
        if not _continues(text, start, end):
            yield text[start:seen]
            start = seen
    if start < len(text):
        yield text[start:]


def parts(sentence: str) -> Iterator[str]:
    """Yield the parts of a sentence, none longer than the limit: cut at pauses, else at spaces, else anywhere."""
    if len(sentence) <= LONGEST_DENSE_CHARACTERS:  # as most are
        yield sentence
        return
    rest = sentence
    while len(rest.strip()) > (limit := limit_characters(rest)):
        lead = len(rest) - len(rest.lstrip())
        cut = _cut(rest, lead, lead + limit)
        yield rest[:cut]
        rest = rest[cut:]
    if rest:
        yield rest


def limit_characters(text: str) -> int:
    """Return the length limit for a segment of such text."""
    head = text[:LONGEST_CHARACTERS]
    if head.isascii():
        return LONGEST_CHARACTERS
    dense = sum(1 for character in head if ord(character) >= 0x2E80)
    return LONGEST_DENSE_CHARACTERS if dense * 2 > len(head) else LONGEST_CHARACTERS


def ends_a_sentence(text: str) -> bool:
    """Whether its last character, before closing quotes and brackets, ends a sentence."""
    return text.rstrip(_CLOSERS)[-1:] in _MARKS


def needs_no_space(text: str) -> bool:
    """Whether sentences of its script follow each other without a space."""
    return text.rstrip(_CLOSERS)[-1:] in _DENSE_MARKS


def _continues(text: str, start: int, end: re.Match[str]) -> bool:
    """Whether a full stop does not end the sentence: an abbreviation, an initial, a number at the start of a list."""
    if end[0].rstrip() != "." or end.end() >= len(text):
        return False
    before = text[max(start, end.start() - _LONGEST_WORD) : end.start()].split()
    word = before[-1].lstrip("([\"'“‘«").lower() if before else ""
    if not word:
        return False
    following = text[end.end()]
    return (
        (following.islower() and word.isascii())
        or word in _ABBREVIATIONS
        or (word in _BEFORE_A_NUMBER and following.isdigit())
        # "J. Smith", "U.S. Army"; but the pronoun I ends sentences often enough.
        or (word != "i" and _INITIALS.fullmatch(word) is not None)
        or (len(before) == 1 and word.isdigit() and end.start() - start < _LONGEST_WORD)
    )


def _cut(text: str, lead: int, limit: int) -> int:
    """Return a cut in (lead, limit]: after the last pause past the middle, else the last space, else a letter."""
    middle = (lead + limit) // 2
    pauses = [found.end() for found in _PAUSE.finditer(text, middle, limit)]
    # 1,000 and 12:30 have no pause.
    pauses = [cut for cut in pauses if not (cut < len(text) and text[cut - 1] in ",:" and text[cut].isdigit())]
    if pauses:
        return pauses[-1]
    space = max(text.rfind(character, lead + 1, limit) for character in " \t\n\u3000\u00a0")
    if space > lead:
        return space + 1
    cut = limit
    while cut > middle and _joined(text, cut):
        cut -= 1
    return cut


def _joined(text: str, cut: int) -> bool:
    """Whether the characters on both sides of the cut are one grapheme: an accent, an emoji sequence."""
    if cut >= len(text):
        return False
    after = text[cut]
    return unicodedata.combining(after) != 0 or after in "\u200d\ufe0f" or text[cut - 1] == "\u200d"
