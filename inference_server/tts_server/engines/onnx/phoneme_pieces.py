"""Cuts phonemes into pieces that a graph takes at once, at places where a reader would pause."""

import re
from collections.abc import Sequence

_CUTS = (
    re.compile(r"(?<=[.!?…])[”)]?\s+"),  # sentences
    re.compile(r"(?<=[,;:—])\s+|\s+(?=[—(“])"),  # clauses
    re.compile(r"\s+"),  # words
)


def pieces(phonemes: str, longest: int) -> Sequence[str]:
    """Return `phonemes` in pieces of at most `longest`, cut after sentences, else clauses, else words, else anywhere.

    No piece is empty, and nothing but spaces is lost. A piece is as long as it can be without a worse cut.
    """
    return _divided(phonemes.strip(), longest, 0)


def _divided(text: str, longest: int, level: int) -> list[str]:
    if len(text) <= longest:
        return [text] if text else []
    if level == len(_CUTS):
        return [text[start : start + longest] for start in range(0, len(text), longest)]
    result: list[str] = []
    for part in _parts(text, _CUTS[level]):
        if result and len(result[-1]) + 1 + len(part) <= longest:
            result[-1] += f" {part}"
        else:
            result += _divided(part, longest, level + 1)
    return result


def _parts(text: str, cut: re.Pattern[str]) -> list[str]:
    """Split behind the mark that a cut begins with, if any; spaces are lost."""
    parts, start = [], 0
    for found in cut.finditer(text):
        end = found.end() - len(found[0].lstrip("”)"))
        parts.append(text[start:end].strip())
        start = found.end()
    parts.append(text[start:].strip())
    return [part for part in parts if part]
