"""The pause that a text asks for by how it ends."""

from __future__ import annotations

import pytest

from tts_server.text.pauses import Pause, pause_after

PAUSES = {
    "a word": ("one ", Pause.NONE),
    "a comma": ("one, ", Pause.CLAUSE),
    "a comma in a quote": ('"one," ', Pause.CLAUSE),
    "a line without a mark": ("one\n", Pause.LINE),
    "a line after a comma": ("one,\n", Pause.LINE),
    "a sentence": ("one. ", Pause.SENTENCE),
    "a sentence of Chinese": ("一。", Pause.SENTENCE),
    "a sentence and its line": ("one.\n", Pause.SENTENCE),
    "a paragraph without a mark": ("one\n\n", Pause.PARAGRAPH),
    "a paragraph": ("one.\n \n", Pause.PARAGRAPH),
}


@pytest.mark.parametrize(("text", "pause"), PAUSES.values(), ids=PAUSES)
def test_pause_after(text: str, pause: Pause) -> None:
    assert pause_after(text) is pause


def test_the_longer_pause_is_the_greater_value() -> None:
    assert Pause.NONE < Pause.CLAUSE < Pause.LINE < Pause.SENTENCE < Pause.PARAGRAPH
