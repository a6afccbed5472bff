"""Cuts long sentences into parts, never inside a grapheme cluster."""

import re
from collections.abc import Iterator

import regex

from tts_server.text.normalization import WORD_BREAK
from tts_server.text.pauses import CLAUSE_MARKS, CLOSERS, DENSE_ENDS, SPACED_ENDS

LONGEST_CHARACTERS = 240
"""Longest segment, about 15 s of English: a client waits for the first one, so it must not be a chapter."""
LONGEST_DENSE_CHARACTERS = 100
"""Longest segment in scripts in which a character is a syllable or a word."""

# In doubt a sentence is not split where it may end; one that is too long is best cut there.
_STOP = re.compile(rf"[{DENSE_ENDS}{SPACED_ENDS}]++[{re.escape(CLOSERS)}]*+(?:\s++|(?<=[{DENSE_ENDS}]))")
_PAUSE = re.compile(rf"[{CLAUSE_MARKS}]++[{re.escape(CLOSERS)}]*+\s*+")
_SPACES = f" \t\n\u3000\u00a0{WORD_BREAK}"
# Extended grapheme clusters (UAX 29), which end before some vowels of Burmese, Thai and Lao: those stay with their
# consonant, too. In Thai and Lao, five of them are written before it.
_CLUSTER = regex.compile(
    r"[\u0e40-\u0e44\u0ec0-\u0ec4]*+\X(?:[\u0e30\u0e32\u0e33\u0e45\u0eb0\u0eb2\u0eb3]|\p{M}|\u200d\X)*+", regex.V1
)


def parts(sentence: str, longest: int = LONGEST_CHARACTERS) -> Iterator[str]:
    """Yield the parts of a sentence, none longer than the limit: cut at pauses, else at spaces, else anywhere.

    `longest` is the limit for text of an alphabet, or the limit for any text if it is below the default.
    """
    if len(sentence) <= min(longest, LONGEST_DENSE_CHARACTERS):  # as most are
        yield sentence
        return
    rest = sentence
    while len(rest.strip()) > (limit := min(longest, limit_characters(rest))):
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


def _cut(text: str, lead: int, limit: int) -> int:
    """Return a cut in (lead, limit]: after the last pause past the middle, else the last space, else a cluster."""
    middle = (lead + limit) // 2
    for mark in (_STOP, _PAUSE):
        cuts = [found.end() for found in mark.finditer(text, middle, limit) if _ends_cluster(text, found.end())]
        # 1,000 and 12:30 have no pause.
        if cuts := [cut for cut in cuts if not (cut < len(text) and text[cut - 1] in ",:" and text[cut].isdigit())]:
            return cuts[-1]
    for space in range(limit - 1, lead, -1):
        if text[space] in _SPACES and _ends_cluster(text, space + 1):
            return space + 1
    return _cluster_end(text, lead, limit)


def _ends_cluster(text: str, end: int) -> bool:
    """Whether the character before `end`, a space or a mark, carries no accent and is no first half of a line break."""
    cluster = _CLUSTER.match(text, end - 1)
    return cluster is not None and cluster.end() == end


def _cluster_end(text: str, lead: int, limit: int) -> int:
    """Return the end of the last cluster that ends by `limit`; `limit` if one cluster is longer than that."""
    end = lead
    # A little further than the limit, to see whether the cluster there goes on.
    while (cluster := _CLUSTER.match(text, end, limit + LONGEST_CHARACTERS)) and cluster.end() <= limit:
        end = cluster.end()
    return end if end > lead else limit
