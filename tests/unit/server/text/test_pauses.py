"""The pause after a segment, by what stands at its end."""

import pytest

from tts_server.text.pauses import Pause, pause_after

ENDS: dict[str, tuple[str, Pause]] = {
    "a sentence": ("It rains. ", Pause.SENTENCE),
    "a sentence in quotes": ("“It rains.” ", Pause.SENTENCE),
    "a Chinese sentence": ("下雨了。", Pause.SENTENCE),
    "a line of a list": ("milk\n", Pause.LINE),
    "a line that ends a sentence": ("It rains.\n", Pause.SENTENCE),
    "a blank line": ("The first chapter\n\n", Pause.PARAGRAPH),
    "a blank line after a sentence": ("It rains.\n\n", Pause.PARAGRAPH),
    "a clause": ("when it rains, ", Pause.CLAUSE),
    "words that go on": ("when it ", Pause.NONE),
}


@pytest.mark.parametrize(("text", "expected"), ENDS.values(), ids=ENDS)
def test_the_pause_after(text: str, expected: Pause) -> None:
    assert pause_after(text) is expected
