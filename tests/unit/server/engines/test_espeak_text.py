"""The text that reaches eSpeak NG."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_server.engines.espeak import speakable

COMMANDS = {
    "an embedded command": ("\x01 50s slow", "  50s slow"),
    "the end of a C string": ("a\x00b", "a b"),
    "a private-use mark": ("\ue001", " "),
    "half of a surrogate pair": ("\ud800", " "),
    "a C1 control": ("\x9bm", " m"),
}
DEADLY = {
    "a bar of braille patterns": ("⣿⣿⣀ 60 %", "    60 %"),
    "code": ("run `ls`", "run  ls "),
}


@pytest.mark.parametrize(("text", "expected"), (COMMANDS | DEADLY).values(), ids=COMMANDS | DEADLY)
def test_what_the_library_must_not_see_becomes_spaces(text: str, expected: str) -> None:
    assert speakable(text) == expected


@pytest.mark.parametrize("text", ["Hello, world.\n\tYes", "<speak>你好</speak>", "[[h@l'oU]]", "🙂 e\u0301"])
def test_everything_else_is_text(text: str) -> None:
    assert speakable(text) == text


@given(st.text())
def test_nothing_moves(text: str) -> None:
    assert len(speakable(text)) == len(text)
