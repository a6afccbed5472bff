"""Splits text into runs of one script: each front end reads only letters of its own."""

import re
from collections.abc import Iterator
from enum import StrEnum


class Script(StrEnum):
    """A writing system that one or more front ends read."""

    LATIN = "Latin"
    HAN = "Han"
    JAPANESE = "Japanese"
    """Kana, and Han where Japanese is the text's language."""
    HANGUL = "Hangul"
    DEVANAGARI = "Devanagari"


_SCRIPTS = {
    Script.LATIN: r"A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff",
    Script.HAN: r"\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af",
    Script.JAPANESE: r"\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f",
    Script.HANGUL: r"\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3",
    Script.DEVANAGARI: r"\u0900-\u0963\u0970-\u097f",
}
_LETTER = re.compile("|".join(f"(?P<{script.name}>[{letters}])" for script, letters in _SCRIPTS.items()))


def script_of(character: str) -> Script | None:
    """Return the script of a letter; None for digits, punctuation, and letters that no front end reads."""
    found = _LETTER.match(character)
    return Script[found.lastgroup] if found is not None and found.lastgroup is not None else None


def script_runs(text: str, own: Script) -> Iterator[tuple[Script, str]]:
    """Yield the runs of `text` in order. Whatever is no letter belongs to `own`, except between letters of a word.

    In Japanese text Han is Japanese.
    """
    start, current = 0, own
    for index, character in enumerate(text):
        script = script_of(character)
        if own is Script.JAPANESE and script is Script.HAN:
            script = own
        if script is None:
            joined = current is not own and character in "'’-.&" and _continues(text, index + 1, current, own)
            script = current if joined or (character == " " and _continues(text, index + 1, current, own)) else own
        if script is not current:
            if index > start:
                yield current, text[start:index]
            start, current = index, script
    if start < len(text):
        yield current, text[start:]


def _continues(text: str, index: int, current: Script, own: Script) -> bool:
    """Whether the next character is a letter of the run that is under way."""
    if index >= len(text):
        return False
    script = script_of(text[index])
    return (own if own is Script.JAPANESE and script is Script.HAN else script) is current
