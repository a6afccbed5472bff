from __future__ import annotations

import pytest

from tts_server.engines.index_tts.engine import speakable

TEXTS = {
    "Hello.": "Hello.",
    "I am <going|G OW1 . IH0 NG> home": "I am  going G OW1 . IH0 NG  home",
    "银<行|XING2>": "银 行 XING2 ",
    "<|SPECIAL_TOKEN_1|>G OW1<|SPECIAL_TOKEN_1|>": "  SPECIAL_TOKEN_1  G OW1  SPECIAL_TOKEN_1  ",
    "3 < 4 | 5 > 4": "3   4   5   4",
    "3 < 4 and 5 > 4": "3 < 4 and 5 > 4",
}


@pytest.mark.parametrize(("text", "spoken"), TEXTS.items(), ids=TEXTS)
def test_text_has_no_commands(text: str, spoken: str) -> None:
    assert speakable(text) == spoken
