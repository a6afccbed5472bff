"""Mandarin: words by jieba, readings by pypinyin, numbers by cn2an (all MIT), sounds by the tables below.

The tables are the IPA of standard Mandarin in the notation of Kokoro's vocabulary, in which an arrow behind the vowel
is the tone: https://en.wikipedia.org/wiki/Help:IPA/Mandarin. Kokoro was trained without tone sandhi in its input.
"""

import re
from collections.abc import Iterator, Mapping

_HAN = r"\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_RUN = re.compile(rf"[{_HAN}]+|[^{_HAN}]+")
_PUNCTUATION = str.maketrans({
    "、": ", ", "，": ", ", "。": ". ", "．": ". ", "！": "! ", "：": ": ", "；": "; ", "？": "? ", "…": "… ",
    "）": ") ", "《": " “", "》": "” ", "「": " “", "」": "” ", "『": " “", "』": "” ", "【": " “", "】": "” ",
    "（": " (",
})  # fmt: skip
_TONES = {"1": "→", "2": "↗", "3": "↓", "4": "↘", "5": ""}
_INITIALS = {
    "": "", "b": "p", "p": "pʰ", "m": "m", "f": "f", "d": "t", "t": "tʰ", "n": "n", "l": "l", "g": "k", "k": "kʰ",
    "h": "x", "j": "ʨ", "q": "ʨʰ", "x": "ɕ", "zh": "ꭧ", "ch": "ꭧʰ", "sh": "ʂ", "r": "ɻ", "z": "ʦ", "c": "ʦʰ", "s": "s",
}  # fmt: skip
_FINALS: Mapping[str, tuple[str, str]] = {
    # what is before the tone, and what is behind it
    "a": ("a", ""), "ai": ("ai", ""), "an": ("a", "n"), "ang": ("a", "ŋ"), "ao": ("au", ""), "e": ("ɤ", ""),
    "ei": ("ei", ""), "en": ("ə", "n"), "eng": ("ə", "ŋ"), "er": ("ɚ", ""), "ê": ("ɛ", ""), "i": ("i", ""),
    "ia": ("ja", ""), "ian": ("jɛ", "n"), "iang": ("ja", "ŋ"), "iao": ("jau", ""), "ie": ("je", ""), "in": ("i", "n"),
    "ing": ("i", "ŋ"), "io": ("jɔ", ""), "iong": ("jʊ", "ŋ"), "iou": ("jou", ""), "o": ("wo", ""), "ong": ("ʊ", "ŋ"),
    "ou": ("ou", ""), "u": ("u", ""), "ua": ("wa", ""), "uai": ("wai", ""), "uan": ("wa", "n"), "uang": ("wa", "ŋ"),
    "uei": ("wei", ""), "uen": ("wə", "n"), "ueng": ("wə", "ŋ"), "uo": ("wo", ""), "v": ("y", ""), "van": ("ɥɛ", "n"),
    "ve": ("ɥe", ""), "vn": ("y", "n"), "m": ("m", ""), "n": ("n", ""), "ng": ("ŋ", ""),
}  # fmt: skip
_BUZZING = frozenset({"zh", "ch", "sh", "r", "z", "c", "s"})
"""Initials behind which the final i is a buzz of the tongue."""


def syllable(initial: str, final: str) -> str:
    """Return the phonemes of one syllable of strict pinyin; `final` ends with the tone, 1 to 5. Empty if unknown."""
    vowel, tone = final[:-1], _TONES.get(final[-1:], "")
    if initial not in _INITIALS or vowel not in _FINALS:
        return ""
    before, after = _FINALS[vowel]
    if vowel == "i" and initial in _BUZZING:
        before = "ɨ"
    elif vowel == "o" and not initial:  # an interjection
        before = "ɔ"
    return f"{_INITIALS[initial]}{before}{tone}{after}"


class Chinese:
    """Mandarin in simplified or traditional characters."""

    def __init__(self) -> None:
        """Load both dictionaries, which takes a second."""
        import logging

        import jieba
        import pypinyin

        jieba.setLogLevel(logging.WARNING)
        # Its own start writes a cache into a folder that all users share, and loads what it finds there with marshal.
        frequencies, total = jieba.dt.gen_pfdict(jieba.dt.get_dict_file())
        jieba.dt.FREQ, jieba.dt.total, jieba.dt.initialized = frequencies, total, True
        self._words = jieba.dt.lcut
        self._pinyin = pypinyin

    def __call__(self, text: str) -> str:
        import cn2an

        spoken: str = cn2an.transform(text, "an2cn")
        runs = _RUN.findall(spoken.translate(_PUNCTUATION))
        return "".join(self._read(run) if re.match(f"[{_HAN}]", run) else run for run in runs).strip()

    def _read(self, run: str) -> str:
        return " ".join("".join(self._syllables(word)) for word in self._words(run))

    def _syllables(self, word: str) -> Iterator[str]:
        style, read = self._pinyin.Style, self._pinyin.lazy_pinyin
        initials = read(word, style=style.INITIALS, strict=True)
        finals = read(word, style=style.FINALS_TONE3, strict=True, neutral_tone_with_five=True)
        for initial, final in zip(initials, finals, strict=True):
            yield syllable(initial, final) or self._interjection(word)

    def _interjection(self, word: str) -> str:
        """Read a syllable without a vowel, such as 嗯: strict pinyin has neither an initial nor a final for it."""
        read = self._pinyin.lazy_pinyin(word, style=self._pinyin.Style.TONE3, neutral_tone_with_five=True)
        return syllable("", read[0]) if len(read) == 1 else ""


def load(language: str) -> Chinese:
    """Return the front end."""
    del language  # there is one
    return Chinese()
