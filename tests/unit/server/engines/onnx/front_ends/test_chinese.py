"""Mandarin syllables; the whole front end, with its dictionaries, is tested in tests/contract."""

import pytest

from tts_server.engines.onnx.front_ends.chinese import syllable

SYLLABLES = {
    "mā": (("m", "a1"), "ma→"),
    "zhī": (("zh", "i1"), "ꭧɨ→"),
    "xī": (("x", "i1"), "ɕi→"),
    "wǒ": (("", "uo3"), "wo↓"),
    "nǚ": (("n", "v3"), "ny↓"),
    "yuán": (("", "van2"), "ɥɛ↗n"),
    "jiǔ": (("j", "iou3"), "ʨjou↓"),
    "ér": (("", "er2"), "ɚ↗"),
    "de": (("d", "e5"), "tɤ"),
    "bō": (("b", "o1"), "pwo→"),
    "ó": (("", "o2"), "ɔ↗"),
    "ńg": (("", "ng2"), "ŋ↗"),
    "not pinyin": (("", "?"), ""),
    "nothing": (("", ""), ""),
}


@pytest.mark.parametrize(("pinyin", "phonemes"), SYLLABLES.values(), ids=SYLLABLES)
def test_a_syllable_has_its_tone_behind_the_vowel(pinyin: tuple[str, str], phonemes: str) -> None:
    assert syllable(*pinyin) == phonemes
