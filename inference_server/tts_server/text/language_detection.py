"""Which language a script gives away: kana is Japanese, Hangul Korean, Han Chinese unless kana shares its sentence.

Scripts of many languages (Latin, Cyrillic, Arabic, Devanagari) give nothing away here: they take the default language.
"""

import re
from dataclasses import dataclass

# Blocks of Unicode 16. Halfwidth forms included; punctuation left out on purpose.
_KANA = "\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9d\U0001b000-\U0001b16f"
_HANGUL = "\u1100-\u11ff\u3131-\u318e\ua960-\ua97f\uac00-\ud7ff\uffa0-\uffdc"
_HAN = "\u2e80-\u2fd5\u3005-\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"

_TELLING = re.compile("[\u1100-\U0010ffff]")
"""What could be in one of these blocks."""
_JAPANESE = re.compile(f"[{_KANA}]")
_LETTERS = re.compile(f"(?P<ja>[{_KANA}]+)|(?P<ko>[{_HANGUL}]+)|(?P<han>[{_HAN}]+)|[^\\W\\d_{_KANA}{_HANGUL}{_HAN}]+")
"""Neighbours of one script, or of those that tell nothing: a step for each of them, not for each character."""
_LETTER = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring characters of one language; None is the default one."""

    text: str
    language: str | None


def tells_languages(text: str) -> bool:
    """Whether a script in it may give a language away: for most texts of most languages, none does."""
    return _TELLING.search(text) is not None


def script_runs(sentence: str) -> list[Run]:
    """Split one sentence by script. Digits, spaces and punctuation stay with what is before them.

    Whatever leads the sentence goes with its first letters.
    """
    if not tells_languages(sentence):
        return [Run(sentence, None)] if sentence else []
    han = "ja" if _JAPANESE.search(sentence) else "zh"
    runs: list[Run] = []
    start, current, known = 0, None, False
    for letters in _LETTERS.finditer(sentence):
        # Marks and fractions are among them, and are no letters.
        first = 0 if letters["han"] else next((at for at, one in enumerate(letters[0]) if one.isalpha()), None)
        if first is None:
            continue
        language = han if letters["han"] else letters.lastgroup
        if known and language != current:
            begin = letters.start() + first
            runs.append(Run(sentence[start:begin], current))
            start = begin
        current, known = language, True
    if start < len(sentence):
        runs.append(Run(sentence[start:], current))
    return runs


def is_silent(text: str) -> bool:
    """Whether nothing of it is read aloud as a word: no letter and no digit of any script."""
    return _LETTER.search(text) is None
