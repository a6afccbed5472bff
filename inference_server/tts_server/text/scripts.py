"""Names the scripts that languages are written in, and finds runs of one script in a text."""

from collections.abc import Iterator
from dataclasses import dataclass

import regex

# Halfwidth forms included; punctuation left out on purpose. These are blocks of Unicode 16.
_KANA = "\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9d\U0001b000-\U0001b16f"
_HANGUL = "\u1100-\u11ff\u3131-\u318e\ua960-\ua97f\uac00-\ud7ff\uffa0-\uffdc"
_HAN = "\u2e80-\u2fd5\u3005-\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"

LATIN, HAN, KANA, HANGUL = "Latin", "Han", "Kana", "Hangul"
_OTHERS = {
    "Arabic": "ar ckb fa ps sd ug ur",
    "Armenian": "hy",
    "Bengali": "as bn",
    "Cyrillic": "ba be bg cv kk ky mk mn ru sr tg tt uk",
    "Devanagari": "hi mr ne sa",
    "Ethiopic": "am ti",
    "Georgian": "ka",
    "Greek": "el grc",
    "Gujarati": "gu",
    "Gurmukhi": "pa",
    "Hebrew": "he iw yi",
    "Kannada": "kn",
    "Khmer": "km",
    "Lao": "lo",
    "Malayalam": "ml",
    "Myanmar": "my",
    "Oriya": "or",
    "Sinhala": "si",
    "Tamil": "ta",
    "Telugu": "te",
    "Thai": "th",
    "Tibetan": "bo dz",
}
"""Languages by the script that they are usually written in, for scripts of an alphabet."""
_SCRIPTS = {
    **{language: (script,) for script, languages in _OTHERS.items() for language in languages.split()},
    **dict.fromkeys(("zh", "cmn", "yue", "wuu", "nan", "hak"), (HAN,)),
    "ja": (KANA, HAN),
    "ko": (HANGUL,),
    "sr": ("Cyrillic", LATIN),
}
_LETTERS = regex.compile(
    f"(?P<{KANA}>[{_KANA}]+)|(?P<{HANGUL}>[{_HANGUL}]+)|(?P<{HAN}>[{_HAN}]+)|(?P<{LATIN}>\\p{{Script=Latin}}+)|"
    + "|".join(f"(?P<{script}>\\p{{Script={script}}}+)" for script in _OTHERS)
    + r"|[^\W\d_]"
)
"""Runs of one script: one match for each run, not for each character."""


@dataclass(frozen=True, slots=True)
class Letters:
    """A run of letters of one script in a text; `script` is None for one that has no name here."""

    start: int
    text: str
    script: str | None


def scripts(language: str) -> tuple[str, ...]:
    """Return the scripts of a BCP 47 language: Latin, if its primary subtag is not known to have another."""
    return _SCRIPTS.get(language.partition("-")[0].lower(), (LATIN,))


def letters(text: str) -> Iterator[Letters]:
    """Yield the runs of letters in `text`, in order. Numbers, marks and signs are no letters."""
    for found in _LETTERS.finditer(text):
        script = found.lastgroup
        # Marks and fractions match too, and are no letters; neither are the ideographs that only count.
        first = 0 if script == HAN else next((at for at, one in enumerate(found[0]) if one.isalpha()), None)
        if first is not None:
            yield Letters(found.start() + first, found[0][first:], script)
