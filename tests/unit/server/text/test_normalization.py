"""Normalization: each kind of character that engines drop or misread, and what must stay as it is."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_server.text import segments
from tts_server.text.normalization import normalized

READABLE: dict[str, tuple[str, str]] = {
    "fullwidth digits": ("验证码是１２３４５６。", "验证码是123456。"),
    "fullwidth letters": ("Ｈｅｌｌｏ", "Hello"),
    "an address": ("ｗｗｗ．ｅｘａｍｐｌｅ．ｃｏｍ", "www.example.com"),
    "a fullwidth decimal": ("１，２３４．５％", "1,234.5%"),
    "a fullwidth time": ("１２：３０", "12:30"),
    "fraktur": ("𝖇𝖚𝖎𝖑𝖉 𝖎𝖙 𝖞𝖔𝖚𝖗𝖘𝖊𝖑𝖋", "build it yourself"),
    "script": ("𝓗𝓮𝓵𝓵𝓸", "Hello"),
    "monospace digits": ("𝟷𝟸𝟹", "123"),
    "circled letters and digits": ("Ⓐ ①", "A 1"),
    "decomposed umlauts": ("Scho\u0308ne Gru\u0308ße", "Schöne Grüße"),
    "decomposed Hangul": ("\u1112\u1161\u11ab", "한"),
    "decomposed kana": ("か\u3099", "が"),
    "halfwidth kana": ("ﾊﾟｿｺﾝ", "パソコン"),
    "ligatures": ("ﬁne oﬃce ﬂow", "fine office flow"),
    "Roman numerals": ("Act Ⅳ, ⅻ", "Act IV, xii"),
    "a narrow no-break space": ("1\u202f234\u202f567 €", "1 234 567 €"),
    "a no-break space": ("10\u00a0km", "10 km"),
    "units": ("5 ㎏ at 20 ℃", "5 kg at 20 °C"),
    "a soft hyphen": ("Silben\u00adtrennung", "Silbentrennung"),
    "a byte order mark": ("\ufeffHello", "Hello"),
    "bidirectional controls": ("\u202bHello\u202c \u2067there\u2069", "Hello there"),
    "line breaks of every kind": ("a\r\nb\rc\x0bd\x0ce\x85f\u2028g\u2029h", "a\nb\nc\nd\ne\nf\ng\n\nh"),
    "a lone surrogate": ("bad \ud800 half", "bad \ufffd half"),
}

KEPT = [
    "Hello. It's 3.14!", "10⁵", "H₂O", "1½", "1º", "2ª", "don´t", "№ 5", "ACME™", "Yes…",
    "你好！真的？（是，好；行：对）",
    "です．次", "第1，2名", "می\u200cخواهم", "👨\u200d👩\u200d👧", "❤\ufe0f", "naïve", "한국어",
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), READABLE.values(), ids=READABLE)
def test_what_engines_cannot_read_becomes_what_they_can(text: str, expected: str) -> None:
    assert normalized(text) == expected


@pytest.mark.parametrize("text", KEPT)
def test_what_would_say_something_else_stays(text: str) -> None:
    assert normalized(text) == text


def test_no_number_changes_its_value() -> None:
    """A superscript, subscript or fraction that became plain digits would join the digits before it."""
    han = "㆒㆓㆔㆕"  # one to four, which a reader of Chinese reads alike
    signs = [sign for sign in map(chr, range(0x110000)) if sign.isnumeric() and sign not in han]
    tagged = [sign for sign in signs if unicodedata.decomposition(sign).startswith(("<super>", "<sub>", "<fraction>"))]
    assert len(tagged) >= 30
    assert [sign for sign in tagged if normalized(sign) != sign] == []


@given(st.text())
def test_it_is_done_once(text: str) -> None:
    assert normalized(normalized(text)) == normalized(text)


def test_a_zero_width_space_is_a_place_to_cut_and_is_not_spoken() -> None:
    word = "สวัสดีครับ"
    found = segments("\u200b".join([word] * 60), default_language="th")
    assert len(found) > 2
    assert all(segment.text.removeprefix(word * (len(segment.text) // len(word))) == "" for segment in found)


def test_a_tag_is_ascii() -> None:
    (found,) = segments("＜lang=fr＞oui", default_language="en", routed_languages=["en", "fr"])
    assert found.language == "en"
