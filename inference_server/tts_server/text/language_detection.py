"""Detects languages by script: kana is Japanese, Hangul Korean, Han Chinese unless kana shares its sentence.

Scripts of many languages (Latin, Cyrillic, Arabic, Devanagari) are not detected: they take the default language.
"""

import re
from dataclasses import dataclass

# Blocks of Unicode 16. Halfwidth forms included; punctuation left out on purpose.
_KANA = "\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9d\U0001b000-\U0001b16f"
_HANGUL = "\u1100-\u11ff\u3131-\u318e\ua960-\ua97f\uac00-\ud7ff\uffa0-\uffdc"
_HAN = "\u2e80-\u2fd5\u3005-\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"

_CANDIDATE = re.compile("[\u1100-\U0010ffff]")
"""Characters that could be in one of these blocks."""
_JAPANESE = re.compile(f"[{_KANA}]")
_LETTERS = re.compile(f"(?P<ja>[{_KANA}]+)|(?P<ko>[{_HANGUL}]+)|(?P<han>[{_HAN}]+)|[^\\W\\d_{_KANA}{_HANGUL}{_HAN}]+")
"""Runs of one script, or of scripts that are not detected: one match for each run, not for each character."""
_LETTER = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive characters of one language; None for the default language."""

    text: str
    language: str | None


def has_detectable_script(text: str) -> bool:
    """Whether it may have a script that identifies its language: false for most texts of most languages."""
    return _CANDIDATE.search(text) is not None


def script_runs(sentence: str) -> list[Run]:
    """Split one sentence by script. Digits, spaces and punctuation stay with the letters before them.

    Those at the beginning of the sentence go with its first letters.
    """
    if not has_detectable_script(sentence):
        return [Run(sentence, None)] if sentence else []
    han = "ja" if _JAPANESE.search(sentence) else "zh"
    runs: list[Run] = []
    start, current, has_letters = 0, None, False
    for letters in _LETTERS.finditer(sentence):
        # Marks and fractions match too, and are no letters.
        first = 0 if letters["han"] else next((at for at, one in enumerate(letters[0]) if one.isalpha()), None)
        if first is None:
            continue
        language = han if letters["han"] else letters.lastgroup
        if has_letters and language != current:
            begin = letters.start() + first
            runs.append(Run(sentence[start:begin], current))
            start = begin
        current, has_letters = language, True
    if start < len(sentence):
        runs.append(Run(sentence[start:], current))
    return runs


def is_silent(text: str) -> bool:
    """Whether no word would be read aloud: it has no letter and no digit of any script."""
    return _LETTER.search(text) is None
