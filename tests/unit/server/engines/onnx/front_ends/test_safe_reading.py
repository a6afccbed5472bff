"""Front ends get what they can take, and what they cannot take costs a character, not the request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_server.engines.onnx.front_ends.safe_reading import (
    MOST_LETTERS,
    read_safely,
    with_plain_numbers,
    with_short_words,
)
from tts_server.errors import EngineError

PLAIN = {
    # a text                  as a front end gets it
    "In 2024, 3.14 of it":    "In 2024, 3.14 of it",
    "1234567890123456":       "1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6",
    "٣ and ३":                "3 and 3",
    "10⁵ ½":                  "10⁵ ½",
    "a ////////// b":         "a /// b",
    "Wait...":                "Wait...",
}  # fmt: skip


@pytest.mark.parametrize(("text", "plain"), PLAIN.items())
def test_numbers_and_signs_are_those_that_every_front_end_reads(text: str, plain: str) -> None:
    assert with_plain_numbers(text) == plain


def test_only_words_that_no_language_has_get_spaces() -> None:
    long = "Donaudampfschifffahrtsgesellschaftskapitän said so."
    assert with_short_words(long) == long
    assert with_short_words("a" * 100) == f"{'a' * MOST_LETTERS} {'a' * 40}"
    assert with_short_words("1/" * 20) == f"{'1/' * 12} {'1/' * 8}"
    accented = "e\u0301"
    assert with_short_words(accented * 20) == f"{accented * 12} {accented * 8}", "no accent leaves its letter"


@given(st.text())
def test_no_letter_is_lost_in_a_word_that_is_parted(text: str) -> None:
    parted = with_short_words(text)
    assert max(map(len, parted.split()), default=0) <= MOST_LETTERS
    if all(character.isprintable() for character in text):
        assert parted.replace(" ", "") == text.replace(" ", "")


def fails_at(characters: str, text: str) -> str:
    if set(characters) & set(text):
        raise IndexError("list index out of range")
    return text.upper()


@given(st.text("ab xy", max_size=60))
def test_only_the_characters_at_which_a_front_end_fails_are_left_out(text: str) -> None:
    read = read_safely(lambda part: fails_at("xy", part), text)
    assert read.replace(" ", "") == text.replace(" ", "").replace("x", "").replace("y", "").upper()


def test_what_is_left_out_is_told_without_the_text(capfd: pytest.CaptureFixture[str]) -> None:
    assert read_safely(lambda part: fails_at("q", part), "a q b q").split() == ["A", "B"]
    assert capfd.readouterr().err == "Characters left out: 2 (IndexError in the front end).\n"


def test_an_engines_own_error_is_no_reason_to_leave_anything_out() -> None:
    def refuses(text: str) -> str:
        raise EngineError("Cantonese is not read.")

    with pytest.raises(EngineError, match="Cantonese"):
        read_safely(refuses, "two words")
