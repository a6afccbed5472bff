"""Korean by rules: letters of a syllable, and how they change where syllables meet (표준 발음법, the standard rules).

Kokoro has no Korean voice; any of its voices reads these phonemes with the sounds that it knows.
"""

import re
from dataclasses import dataclass
from itertools import pairwise

from tts_server.engines.onnx.front_ends.korean_numbers import spoken

_FIRST_SYLLABLE, _VOWEL_COUNT, _CODA_COUNT = 0xAC00, 21, 28
_ONSETS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_CODAS = ("", *"ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ")
_VOWELS = (
    "a", "ɛ", "ja", "jɛ", "ʌ", "e", "jʌ", "je", "o", "wa", "wɛ", "we", "jo", "u", "wʌ", "we", "wi", "ju", "ɯ", "ɰi", "i"
)  # fmt: skip
_CLUSTERS = {
    "ㄳ": "ㄱㅅ", "ㄵ": "ㄴㅈ", "ㄶ": "ㄴㅎ", "ㄺ": "ㄹㄱ", "ㄻ": "ㄹㅁ", "ㄼ": "ㄹㅂ",
    "ㄽ": "ㄹㅅ", "ㄾ": "ㄹㅌ", "ㄿ": "ㄹㅍ", "ㅀ": "ㄹㅎ", "ㅄ": "ㅂㅅ",
}  # fmt: skip
# What is heard of a coda before a consonant or at the end of a word.
_HEARD = {
    **dict.fromkeys("ㄱㄲㅋㄳㄺ", "ㄱ"), **dict.fromkeys("ㄷㅅㅆㅈㅊㅌㅎ", "ㄷ"), **dict.fromkeys("ㅂㅍㅄㄿ", "ㅂ"),
    **dict.fromkeys("ㄴㄵㄶ", "ㄴ"), **dict.fromkeys("ㄹㄼㄽㄾㅀ", "ㄹ"), **dict.fromkeys("ㅁㄻ", "ㅁ"),
    "ㅇ": "ㅇ", "": "",
}  # fmt: skip
_TENSE = dict(zip("ㄱㄷㅂㅅㅈ", "ㄲㄸㅃㅆㅉ", strict=True))
_ASPIRATED = dict(zip("ㄱㄷㅂㅈ", "ㅋㅌㅍㅊ", strict=True))
_NASAL = dict(zip("ㄱㄷㅂ", "ㅇㄴㅁ", strict=True))
_PLAIN_SOUNDS = {
    "ㄱ": "k", "ㄲ": "k", "ㄴ": "n", "ㄷ": "t", "ㄸ": "t", "ㄹ": "ɾ", "ㅁ": "m", "ㅂ": "p", "ㅃ": "p",
    "ㅅ": "s", "ㅆ": "s", "ㅇ": "", "ㅈ": "ʨ", "ㅉ": "ʨ", "ㅊ": "ʨʰ", "ㅋ": "kʰ", "ㅌ": "tʰ", "ㅍ": "pʰ", "ㅎ": "h",
}  # fmt: skip
_VOICED_SOUNDS = {"ㄱ": "ɡ", "ㄷ": "d", "ㅂ": "b", "ㅈ": "ʥ"}
_CODA_SOUNDS = {"ㄱ": "k", "ㄴ": "n", "ㄷ": "t", "ㄹ": "l", "ㅁ": "m", "ㅂ": "p", "ㅇ": "ŋ", "": ""}
_NOUNS_IN_UI = frozenset("회강주동합정논토문편성결모협심예창거")
"""Syllables before a final 의 that is a part of the noun, as in 회의; elsewhere it is the particle, pronounced e."""
_TOKEN = re.compile(r"[가-힣]+|[^가-힣\s]+")
_SPACE_BEFORE_PUNCTUATION = re.compile(r" ([.,!?;:…”)])")


@dataclass
class Syllable:
    """A syllable by its letters; the onset ㅇ is silent, and the coda may be empty."""

    onset: str
    vowel: str
    coda: str


class Korean:
    """Korean in Hangul."""

    def __call__(self, text: str) -> str:
        tokens = (pronounced(token) if "가" <= token[0] <= "힣" else token for token in _TOKEN.findall(spoken(text)))
        return _SPACE_BEFORE_PUNCTUATION.sub(r"\1", " ".join(tokens))


def load(language: str) -> Korean:
    """Return the front end."""
    del language  # there is one
    return Korean()


def pronounced(word: str) -> str:
    """Return the phonemes of a word in Hangul."""
    syllables = [_syllable(character) for character in word]
    if word[1:].endswith("의") and word[-2] not in _NOUNS_IN_UI:
        syllables[-1].vowel = "e"
    for one, next_one in pairwise(syllables):
        _meet(one, next_one)
    syllables[-1].coda = _HEARD[syllables[-1].coda]
    return "".join(
        _sound(syllable, syllables[index - 1].coda if index else None) for index, syllable in enumerate(syllables)
    )


def _syllable(character: str) -> Syllable:
    number = ord(character) - _FIRST_SYLLABLE
    onset, rest = divmod(number, _VOWEL_COUNT * _CODA_COUNT)
    vowel, coda = divmod(rest, _CODA_COUNT)
    return Syllable(_ONSETS[onset], _VOWELS[vowel], _CODAS[coda])


def _meet(one: Syllable, other: Syllable) -> None:
    """Change the coda of a syllable and the onset of the next one as they are pronounced together."""
    if not one.coda:
        return
    last = _CLUSTERS.get(one.coda, one.coda)[-1]
    if last == "ㅎ":
        _meet_h(one, other)
    elif other.onset == "ㅎ" and _HEARD[last] in _NASAL:
        _aspirate(one, other, last)
    elif other.onset == "ㅇ" and one.coda != "ㅇ":
        _carry_over(one, other, last)
    elif one.coda == "ㄺ" and other.onset == "ㄱ":  # 읽고 is 일꼬
        one.coda, other.onset = "ㄹ", "ㄲ"
    _assimilate(one, other)


def _rest(coda: str) -> str:
    """Return a coda without its last letter."""
    return _CLUSTERS[coda][0] if coda in _CLUSTERS else ""


def _meet_h(one: Syllable, other: Syllable) -> None:
    """Let ㅎ aspirate ㄱ, ㄷ and ㅈ, make ㅅ tense, and be silent before a vowel: 좋다, 많소, 많아."""
    rest = _rest(one.coda)
    if other.onset in _ASPIRATED:
        one.coda, other.onset = rest, _ASPIRATED[other.onset]
    elif other.onset == "ㅅ":
        one.coda, other.onset = rest, "ㅆ"
    elif other.onset == "ㅇ":
        one.coda, other.onset = "", rest or "ㅇ"
    elif rest:
        one.coda = rest


def _aspirate(one: Syllable, other: Syllable, last: str) -> None:
    """A stop and ㅎ become one aspirated stop: 입학, 앉히다."""
    stop = "ㅈ" if last == "ㅈ" else _HEARD[last]
    one.coda, other.onset = _rest(one.coda), _ASPIRATED[stop]


def _carry_over(one: Syllable, other: Syllable, last: str) -> None:
    """A coda moves to a syllable that begins with its vowel; ㄷ and ㅌ become ㅈ and ㅊ before i: 같이."""
    one.coda = _rest(one.coda)
    other.onset = {"ㄷ": "ㅈ", "ㅌ": "ㅊ"}.get(last, last) if other.vowel == "i" else last


def _assimilate(one: Syllable, other: Syllable) -> None:
    """Stops make the next consonant tense, and become nasals before nasals; ㄴ and ㄹ meet as ㄹㄹ."""
    heard, onset = _HEARD[one.coda], other.onset
    if heard in _NASAL:
        if onset in _TENSE:
            other.onset = _TENSE[onset]
        elif onset in "ㄴㅁ":
            heard = _NASAL[heard]
        elif onset == "ㄹ":  # 독립 is 동닙
            heard, other.onset = _NASAL[heard], "ㄴ"
    elif heard in {"ㅁ", "ㅇ"} and onset == "ㄹ":
        other.onset = "ㄴ"
    elif (heard, onset) in {("ㄴ", "ㄹ"), ("ㄹ", "ㄴ")}:
        heard = other.onset = "ㄹ"
    one.coda = heard


def _sound(syllable: Syllable, before: str | None) -> str:
    """Return the phonemes of a syllable. `before` is the coda of the syllable before it; None at the beginning."""
    onset, vowel = syllable.onset, syllable.vowel
    sound = _PLAIN_SOUNDS[onset]
    if before is not None and onset in _VOICED_SOUNDS and before in {"", "ㄴ", "ㄹ", "ㅁ", "ㅇ"}:
        sound = _VOICED_SOUNDS[onset]
    if onset == "ㄹ" and before == "ㄹ":
        sound = "l"
    if onset in "ㅅㅆ" and vowel[0] in "ij":
        sound, vowel = "ɕ", vowel.removeprefix("j")
    if onset in "ㅈㅉㅊ":
        vowel = vowel.removeprefix("j")
    if vowel == "ɰi" and (before is not None or onset != "ㅇ"):
        vowel = "i"
    return sound + vowel + _CODA_SOUNDS[syllable.coda]
