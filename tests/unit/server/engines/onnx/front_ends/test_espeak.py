"""Phonemes of eSpeak NG in Kokoro's notation, and what happens when its process fails."""

from collections.abc import Sequence

import pytest

from tts_server.engines.onnx.front_ends.espeak import Espeak, EspeakProcess, in_vocabulary

NOTATION = {"t^ʃˈaːo": "ʧˈaːo", "d^ʒˈoːvane": "ʤˈoːvane", "k^sˈa": "ksˈa", "a^ɪ a^ʊ": "I W", "bɔ̃ʒ-": "bɔ̃ʒ", "": ""}


@pytest.mark.parametrize(("ipa", "phonemes"), NOTATION.items())
def test_one_letter_for_a_diphthong_or_an_affricate(ipa: str, phonemes: str) -> None:
    assert in_vocabulary(ipa) == phonemes


class Recorded(EspeakProcess):
    """Answers with what it was asked, so that the division of a text is seen."""

    def phonemes(self, voice: str, texts: Sequence[str]) -> list[str]:
        return [f"<{text}>" if text else "" for text in texts]


PUNCTUATION = {
    "Ciao, come stai?": "<Ciao>, <come stai>?",
    "¿Dónde? ¡Aquí!": "<Dónde>? <Aquí>!",
    "Costa 9,99 euro alle 10:30.": "<Costa 9,99 euro alle 10:30>.",
    "Il libro (bello) è mio.": "<Il libro> (<bello>) <è mio>.",
    "« Oui », dit il : non ?": "“<Oui>”, <dit il>: <non>?",
    "यह है। वह है।": "<यह है>. <वह है>.",
    "…": "…",
}


@pytest.mark.parametrize(("text", "expected"), PUNCTUATION.items())
def test_punctuation_is_kept_and_numbers_are_not_divided(text: str, expected: str) -> None:
    assert Espeak("it", Recorded())(text) == expected
