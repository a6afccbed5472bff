"""Normalizes text before anything reads it: compatibility forms, invisible characters, line breaks.

NFKC turns fullwidth digits, styled letters, ligatures, Roman numerals, decomposed accents and special spaces into the
characters that engines know. It would also change what some texts say, and these characters stay as they are:

- `10⁵` would become 105, `1½` would become 11⁄2, `1º` would become 1o;
- `´` would become a space with an accent, `№` and `™` the letters No and TM;
- fullwidth marks end Chinese and Japanese sentences without a space after them. Inside numbers and addresses they
  become ASCII, as digits do.
"""

import re
import unicodedata

MARKS = "\uff01\uff08\uff09\uff0c\uff0e\uff1a\uff1b\uff1f\uff61\uff64\u2025\u2026\ufe12"
"""Punctuation that keeps its width: ！（），．：；？｡､‥…︒."""
NUMBERS = "\u00b2\u00b3\u00b9\u00bc-\u00be\u2070\u2074-\u207e\u2080-\u208e\u2150-\u215f\u2189"
"""Superscript and subscript digits and signs, and fractions."""
WORDS = "\u00aa\u00ba\u2116\u2120\u2122"
"""Characters that voices read as words of their language: ª º № ℠ ™."""
SPACING_ACCENTS = "\u00a8\u00af\u00b4\u00b8\u02d8-\u02dd\u037a\u0384\u1fbd\u1fbf\u1fc0\u1ffe\u2017\u203e"
"""Accents without a letter, which NFKC would put on a space."""

_KEPT = re.compile(f"([{MARKS}{NUMBERS}{WORDS}{SPACING_ACCENTS}]+)")
_INSIDE_A_NUMBER = re.compile(r"(?<=[0-9A-Za-z])\uff0e(?=[0-9A-Za-z])|(?<=\d)\uff0c(?=\d{3}(?!\d))|(?<=\d)\uff1a(?=\d)")
_LINE_BREAK = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028]")
_SURROGATE = re.compile("[\ud800-\udfff]")
# U+200B stays: it tells where Thai and Khmer words end. Joiners (U+200C, U+200D) change letters and emoji.
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]")

WORD_BREAK = "\u200b"
"""Zero-width space: a place where text may be cut. No engine gets it."""


def normalized(text: str) -> str:
    """Return `text` as engines can read it; lines end with a line feed, paragraphs with two."""
    text = _LINE_BREAK.sub("\n", text)
    if text.isascii():  # as most are
        return text
    text = _SURROGATE.sub("\ufffd", _INVISIBLE.sub("", text)).replace("\u2029", "\n\n")
    # Every second piece is kept. None of them composes with its neighbours.
    pieces = [
        piece if number % 2 else unicodedata.normalize("NFKC", piece) for number, piece in enumerate(_KEPT.split(text))
    ]
    return _INSIDE_A_NUMBER.sub(lambda mark: unicodedata.normalize("NFKC", mark[0]), "".join(pieces))
