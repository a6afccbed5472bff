"""Every text is read, or refused as one that cannot be read: no text makes an engine fail."""

from collections.abc import Callable, Sequence
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tts_server.engines.espeak import Espeak
from tts_server.engines.onnx.engine import Onnx
from tts_server.engines.onnx.front_ends import languages
from tts_server.engines.onnx.hibari import MAX_PHONEMES, Hibari
from tts_server.errors import TextUnreadable
from tts_server.text.parts import LONGEST_CHARACTERS, parts

NAMED: dict[str, str] = {
    "digits": "7" * 240,
    "numbers": "1234567890" * 24,
    "digits of other scripts": "٠١٢٣٤٥" * 40,
    "superscripts": "10⁵⁶" * 60,
    "circled digits": "①②③" * 80,
    "groups of a thousand": "1,000,000,000,000,000,000,000,000 " * 7,
    "money": "$" + "9" * 239,
    "emoji": "😀" * 240,
    "families": "👩\u200d👩\u200d👧\u200d👦" * 34,
    "one letter": "a" * 240,
    "marks alone": "\u0301" * 240,
    "a letter with marks": "a" + "\u0301" * 239,
    "Hebrew": "שלום " * 48,
    "Arabic": "مرحبا بالعالم " * 17,
    "control characters": "\x00\x01\x1b[0m\x7f\x85" * 24,
    "halves of pairs": "\ud800" * 240,
    "slashes": "/" * 240,
    "signs": "/=%" * 80,
    "a long word": "pneumono" * 30,
    "commands": "[word](/fˈʊl/)" * 17,
    "addresses": "a@b.c" * 48,
    "mixed scripts": "hello你好こんにちは한국어नमस्ते" * 8,
    "kana that are marks": "ーっゃ" * 80,
    "single jamo": "ㄱㅏㅇㄹ\u1100" * 48,
    "line breaks": "\n" * 240,
    "nothing": "",
}


@cache
def hibari() -> Hibari:
    return Hibari()


@cache
def espeak() -> Espeak:
    return Espeak()


READERS: dict[str, Callable[[str], object]] = {
    **{tag: lambda text, tag=tag: languages.read(text, tag) for tag in languages.LANGUAGES},  # type: ignore[misc]
    "heart": lambda text: hibari().phonemes(text, "heart", None),
    "eSpeak": lambda text: list(espeak().speak(text, "en-us", None, 1.0)),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", NAMED.values(), ids=NAMED)
def test_a_hostile_text_is_read(reader: str, text: str) -> None:
    READERS[reader](text[:LONGEST_CHARACTERS])


ANY_TEXT = st.text(st.characters(), max_size=LONGEST_CHARACTERS)
SIGNS_AND_DIGITS = st.text("0123456789$€£%/.,:;-+'’=#&@()[] \t½²٣①aZéß漢かㄱह👍", max_size=LONGEST_CHARACTERS)


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(ANY_TEXT, SIGNS_AND_DIGITS))
def test_any_text_is_read(reader: str, text: str) -> None:
    READERS[reader](text)


@pytest.fixture(scope="module")
def heart() -> Onnx:
    return Onnx("Hibari")


def test_a_text_without_a_word_is_silence_and_one_in_another_script_is_unreadable(heart: Onnx) -> None:
    assert not any(part.any() for part in heart.speak("😀" * 20, "heart", None, 1.0))
    with pytest.raises(TextUnreadable, match="Voice heart cannot read this text: it speaks en-us, en"):
        list(heart.speak("שלום", "heart", None, 1.0))


def test_a_text_of_digits_alone_is_read_to_its_end() -> None:
    pieces: list[Sequence[str]] = [hibari().phonemes(part, "heart", None) for part in parts("7" * 4096)]
    assert sum(piece.count("sˈɛvən") for group in pieces for piece in group) == 4096
    assert max(len(piece) for group in pieces for piece in group) <= MAX_PHONEMES
