"""Detects the language of a text among those that a tenant has voices for: by script, then by statistics.

Kana is Japanese, Hangul Korean, Han Chinese unless kana shares its sentence; Han with characters that only Cantonese
has is Cantonese, where it is routed. Of the languages of an alphabet, one that is alone in its script is detected by
that. Several of one script (English and German, Russian and Ukrainian) are told apart by a statistical model, for 20
letters and more: shorter text takes the language of the text around it, or the default.
"""

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from tts_server.text.scripts import HAN, HANGUL, KANA, LATIN, Letters, letters, scripts

FEWEST_LETTERS = 20
"""Shorter texts are too often the same in two languages."""
SAMPLE_CHARACTERS = 400
"""Characters of a text that are compared: more would take longer and say no more."""
MARGIN = 2.5
"""By how much another language must be likelier than that of the text around: in logarithms, for the square root of
the length. Without it names, addresses and product names would change the voice."""

Identify = Callable[[str], Mapping[str, float]]
"""Returns the logarithm of the likelihood of a text by language, as ISO 639-1 codes where there are some."""

# Characters that written Mandarin does not use, or only in names.
_CANTONESE = re.compile("[嘅咗喺哋啲嚟佢冇嗰攞嘢噉咁睇乜咩俾畀瞓啱嗌揾搵嬲諗]|唔(?=[\u4e00-\u9fff])")
_UNIT = re.compile(
    r"(?<=\d)\s?(?:km/h|m/s|[kcmdµ]?m[²³]?|[kmµ]?g|[mcd]?[lL]|[KMGTk]?B|[kMG]?Hz|[kM]?Wh?|k?V|m?A|kcal|cal|°?[CFK]|h|min|s)"
    r"(?![A-Za-z])"
)
"""A unit after a number, which voices of Chinese and Japanese read: it does not change the language."""
_CODES = {"cmn": "zh", "nb": "no", "nn": "no", "iw": "he", "fil": "tl", "in": "id"}
_BEYOND_LATIN = re.compile("[\u0370-\U0010ffff]")
_LETTER = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive characters of one language; None if no language is known."""

    text: str
    language: str | None


class Detector:
    """Detects among `known` languages and the default; `identify` is the statistical model, None while there is none.

    For one request: it remembers what it has compared.
    """

    def __init__(self, default: str | None, known: Collection[str], identify: Identify | None = None) -> None:
        self.default = default
        languages: dict[str, str] = {}
        for language in [*([default] if default else []), *known]:
            languages.setdefault(
                code_of(language), language
            )  # of two varieties of one language, the default or the first
        self._by_script: dict[str, list[str]] = {}
        for language in languages.values():
            for script in scripts(language):
                self._by_script.setdefault(script, []).append(language)
        self._identify = identify
        self._likelihoods: dict[str, Mapping[str, float]] = {}

    def may_differ(self, text: str) -> bool:
        """Whether a part of `text` may have another language than the default: false for most texts, at no cost."""
        if self._is_alone(LATIN) and _BEYOND_LATIN.search(text) is None:
            return False
        return any(not self._is_alone(run.script) for run in letters(text))

    def language(self, text: str, around: str | None) -> str | None:
        """Return the language of the sentences in `text`, most of which is in one; `around` is that of its context."""
        counts: dict[str | None, int] = {}
        for run in letters(text[: 2 * SAMPLE_CHARACTERS]):
            counts[run.script] = counts.get(run.script, 0) + len(run.text)
        if not counts:
            return around
        script = max(counts, key=lambda each: counts[each])
        return self._of_script(script, text, around)

    def runs(self, sentence: str, around: str | None) -> Iterator[Run]:
        """Split one sentence by language. Digits, spaces and punctuation stay with the letters before them.

        Those at the beginning of the sentence go with its first letters. Neighbours never have the same language.
        """
        begin, current = 0, around
        has_letters = False
        languages: dict[str | None, str | None] = {}
        for run in _deciding(sentence):
            if run.script not in languages:
                languages[run.script] = self._of_script(run.script, sentence, around)
            language = languages[run.script]
            if has_letters and language != current:
                yield Run(sentence[begin : run.start], current)
                begin = run.start
            current, has_letters = language, True
        if begin < len(sentence):
            yield Run(sentence[begin:], current)

    def _is_alone(self, script: str | None) -> bool:
        """Whether letters of that script are in the default language without a doubt."""
        if script in {HAN, KANA}:
            return not (self._by_script.get(HAN) or self._by_script.get(KANA))
        if script == LATIN and self.default is None:
            return True
        candidates = self._by_script.get(script or "", [])
        return not candidates or candidates == [self.default]

    def _of_script(self, script: str | None, text: str, around: str | None) -> str | None:
        if script in {HAN, KANA}:
            return self._of_han(text) or self.default
        candidates = self._by_script.get(script or "", [])
        if script == HANGUL:
            return candidates[0] if candidates else self.default
        if not candidates or (self.default is None and script == LATIN):
            return self.default  # without a default nobody knows what else Latin text may be
        expected = next((each for each in (around, self.default) if each in candidates), candidates[0])
        if len(candidates) == 1:
            return expected
        return self._by_statistics(script, text, candidates, expected)

    def _of_han(self, text: str) -> str | None:
        """Return the language of the Han and kana of one sentence."""
        han = self._by_script.get(HAN, [])
        japanese = next((each for each in han if KANA in scripts(each)), None)
        chinese = [each for each in han if each != japanese]
        if any(run.script == KANA for run in letters(text)):
            return japanese
        cantonese = next((each for each in chinese if code_of(each) == "yue"), None)
        if cantonese is not None and _CANTONESE.search(text):
            return cantonese
        others = [each for each in chinese if each != cantonese] or chinese
        if self.default in others:
            return self.default
        return others[0] if others else japanese

    def _by_statistics(self, script: str | None, text: str, candidates: list[str], expected: str) -> str:
        sample = _sample(text, script)
        if self._identify is None or sum(map(str.isalpha, sample)) < FEWEST_LETTERS:
            return expected
        likelihoods = self._likelihoods.get(sample)
        if likelihoods is None:
            likelihoods = self._likelihoods[sample] = self._identify(sample)
        by_code = {code_of(language): language for language in candidates}
        ranked = sorted((code for code in by_code if code in likelihoods), key=lambda code: -likelihoods[code])
        if not ranked:
            return expected
        best, least = likelihoods[ranked[0]], likelihoods.get(code_of(expected))
        margin = MARGIN * math.sqrt(len(sample.encode("utf-8", "replace")))
        return by_code[ranked[0]] if least is not None and best - least > margin else expected


@lru_cache(maxsize=64)
def needs_statistics(default: str | None, known: tuple[str, ...]) -> bool:
    """Whether two of these languages share a script of an alphabet."""
    if default is None:
        return False
    codes: dict[str, set[str]] = {}
    for language in (default, *known):
        for script in scripts(language):
            if script not in {HAN, KANA}:
                codes.setdefault(script, set()).add(code_of(language))
    return any(len(each) > 1 for each in codes.values())


def is_silent(text: str) -> bool:
    """Whether no word would be read aloud: it has no letter and no digit of any script."""
    return _LETTER.search(text) is None


def _deciding(sentence: str) -> Iterator[Letters]:
    """Yield the runs of letters that decide about the language: in Chinese and Japanese no units."""
    found = list(letters(sentence))
    if all(run.script not in {HAN, KANA} for run in found):
        yield from found
        return
    units = _UNIT.finditer(sentence)
    unit = next(units, None)
    for run in found:
        while unit is not None and unit.end() <= run.start:
            unit = next(units, None)
        if unit is None or run.start < unit.start():
            yield run


def code_of(language: str) -> str:
    """Return the ISO 639 code by which the primary subtag of a BCP 47 language is compared: `zh` for `cmn`."""
    primary = language.partition("-")[0].lower()
    return _CODES.get(primary, primary)


def _sample(text: str, script: str | None) -> str:
    """Return the beginning of the text; where it has other scripts, the first words of that one."""
    runs, size = [], 0
    for run in letters(text):
        runs.append(run)
        size += len(run.text) + 1
        if size > SAMPLE_CHARACTERS:
            break
    if all(run.script == script for run in runs):
        return text[:SAMPLE_CHARACTERS]
    words: list[str] = []
    size = 0
    for run in letters(text):
        if run.script == script:
            words.append(run.text)
            size += len(run.text) + 1
            if size > SAMPLE_CHARACTERS:
                break
    return " ".join(words)[:SAMPLE_CHARACTERS]
