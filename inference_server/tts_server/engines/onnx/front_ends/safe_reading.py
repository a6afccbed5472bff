"""Reads any text with a front end: what a front end cannot take is changed before, or left out.

The packages behind the front ends were written for prose. A number of thirty digits, a character that a dictionary
lacks or a line of slashes makes them raise, or takes them minutes.
"""

import re
import sys
from collections.abc import Callable

import regex

from tts_server.errors import EngineError

MOST_DIGITS = 15
"""Longest number that is read as one; the digits of a longer one are read one by one."""
MOST_SYMBOLS = 3
"""How often in a row a sign is read: a line of dashes or slashes says nothing more."""
MOST_CHARACTERS = 24
"""Longest word with signs or digits in it: the time that English takes for it grows with the cube of its length."""
MOST_LETTERS = 60
"""Longest word of letters alone."""
_LONG_NUMBER = re.compile(rf"[0-9]{{{MOST_DIGITS + 1},}}")
_REPEATED_SIGN = re.compile(rf"([^\w\s])\1{{{MOST_SYMBOLS},}}")
_OTHER_DIGIT = re.compile(r"[^\W\D0-9]")
_LONG_WORD = re.compile(rf"\S{{{MOST_CHARACTERS + 1},}}")
_CLUSTER = regex.compile(r"\X")


def read_safely(read: Callable[[str], str], text: str) -> str:
    """Return the phonemes of `text`, without those of the characters at which `read` fails.

    Raises `EngineError` as `read` does, and no other exception but `MemoryError`: that is not for the text.
    """
    failures: list[str] = []
    phonemes = _readable(read, text, failures)
    if failures:
        # Without the characters: they are a caller's.
        kinds = ", ".join(sorted(set(failures)))
        sys.stderr.write(f"Characters left out: {len(failures)} ({kinds} in the front end).\n")
    return phonemes


def _readable(read: Callable[[str], str], text: str, failures: list[str]) -> str:
    """Phonemes of what can be read. Adds the name of the exception for each character that cannot."""
    try:
        return read(text)
    except (EngineError, MemoryError):
        raise
    except Exception as error:
        halves = _halves(text)
        if halves is None:
            failures.append(type(error).__name__)
            return ""
    return " ".join(filter(None, (_readable(read, half, failures).strip() for half in halves)))


def with_plain_numbers(text: str) -> str:
    """Return `text` with ASCII digits, numbers that can be read, and no sign more than three times in a row."""
    text = _OTHER_DIGIT.sub(_as_ascii, text)
    text = _LONG_NUMBER.sub(lambda found: " ".join(found[0]), text)
    return _REPEATED_SIGN.sub(lambda found: found[1] * MOST_SYMBOLS, text)


def with_short_words(text: str) -> str:
    """Return `text` with spaces in words that no language has, for languages that write spaces between words."""
    return _LONG_WORD.sub(lambda found: " ".join(_parts_of_word(found[0])), text)


def _as_ascii(found: re.Match[str]) -> str:
    digit = found[0]
    return str(int(digit)) if digit.isdecimal() else digit


def _parts_of_word(word: str) -> list[str]:
    longest = MOST_LETTERS if all(character.isalpha() for character in word) else MOST_CHARACTERS
    parts = [""]
    for cluster in _CLUSTER.findall(word):
        if parts[-1] and len(parts[-1]) + len(cluster) > longest:
            parts.append("")
        parts[-1] += cluster[:longest]
    return parts


def _halves(text: str) -> tuple[str, str] | None:
    """Divide `text` at the space next to its middle, else between two characters; None if it is one character."""
    text = text.strip()
    if len(text) < 2:
        return None
    middle = len(text) // 2
    spaces = [place for place in (text.rfind(" ", 0, middle + 1), text.find(" ", middle)) if place > 0]
    cut = min(spaces, key=lambda place: abs(place - middle), default=middle)
    return text[:cut], text[cut:]
