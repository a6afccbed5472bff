from __future__ import annotations

import pytest

from tts_server.engines.cosyvoice.engine import speakable

TEXTS = {
    # what a caller sends: what upstream reads
    "Hello, world.": "Hello, world.",
    "<|en|>Hello": "  en  Hello",
    "a <strong>b</strong> c": "a  strong b  strong  c",
    "haha [laughter] ha": "haha  laughter  ha",
    "报道[j][ǐ]予好评": "报道 j  ǐ 予好评",
    "3 < 4 and 5 > 4": "3 < 4 and 5 > 4",
    "an open [bracket": "an open [bracket",
    "<|endofprompt|><|en|>": "  endofprompt    en  ",
}


@pytest.mark.parametrize(("text", "spoken"), TEXTS.items(), ids=TEXTS)
def test_text_has_no_commands(text: str, spoken: str) -> None:
    assert speakable(text) == spoken
