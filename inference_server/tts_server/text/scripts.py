"""Which language a script gives away: kana is Japanese, Hangul Korean, Han Chinese unless kana shares its sentence.

Scripts of many languages (Latin, Cyrillic, Arabic, Devanagari) give nothing away here: they take the default language.
"""

import re
from dataclasses import dataclass

# Blocks of Unicode 16, first and last code point. Halfwidth forms included; punctuation left out on purpose.
_KANA = ((0x3041, 0x309F), (0x30A1, 0x30FA), (0x30FC, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9D), (0x1B000, 0x1B16F))
_HANGUL = ((0x1100, 0x11FF), (0x3131, 0x318E), (0xA960, 0xA97F), (0xAC00, 0xD7FF), (0xFFA0, 0xFFDC))
_HAN = ((0x2E80, 0x2FD5), (0x3005, 0x3007), (0x3021, 0x3029), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF),
        (0x20000, 0x323AF))  # fmt: skip


_TELLING = re.compile("[\u1100-\U0010ffff]")
"""What could be in one of these blocks."""
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
    han = "ja" if any(_in(character, _KANA) for character in sentence) else "zh"
    runs: list[Run] = []
    start, current, known = 0, None, False
    for index, character in enumerate(sentence):
        if not _tells(character):
            continue
        language = _language(character, han)
        if known and language != current:
            runs.append(Run(sentence[start:index], current))
            start = index
        current, known = language, True
    if start < len(sentence):
        runs.append(Run(sentence[start:], current))
    return runs


def _tells(character: str) -> bool:
    return character.isalpha() or _in(character, _HAN)


def _language(character: str, han: str) -> str | None:
    if _in(character, _KANA):
        return "ja"
    if _in(character, _HANGUL):
        return "ko"
    return han if _in(character, _HAN) else None


def _in(character: str, blocks: tuple[tuple[int, int], ...]) -> bool:
    code = ord(character)
    return code >= 0x1100 and any(first <= code <= last for first, last in blocks)


def is_silent(text: str) -> bool:
    """Whether nothing of it is read aloud as a word: no letter and no digit of any script."""
    return _LETTER.search(text) is None
