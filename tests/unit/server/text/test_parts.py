"""Long sentences are cut where a reader may pause, and never inside a grapheme cluster."""

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from tts_server.text.parts import LONGEST_CHARACTERS, parts

SCRIPTS: dict[str, list[str]] = {
    # Syllables as readers of the script divide them: none may be cut.
    "Thai": ["ที่", "นี่", "เกี่", "น้ำ", "ก็", "ปู่", "แม่", "กำ", "มา", "ะ", "เมื", "อง"],
    "Lao": ["ນ້ຳ", "ພາ", "ສາ", "ເມື", "ໄປ", "ຢູ່"],
    "Khmer": ["ស្ត្រី", "ខ្មែ", "រ", "ភា", "សា", "ក្រុ"],
    "Burmese": ["မြ", "န်", "မာ", "စာ", "ကား", "သ", "င်္ဘော"],
    "Hindi": ["क्ष", "त्रि", "नि", "स्त्री"],
    "Tamil": ["கொ", "நி", "மை"],
    "emoji": ["👨\u200d👩\u200d👧", "🇩🇪", "❤\ufe0f", "👍🏽"],
    "accents": ["e\u0301", "n\u0303", "a\u0308\u0304"],
    "jamo": ["\u1112\u1161\u11ab", "\u1100\u1173\u11af"],
}


@pytest.mark.parametrize("syllables", SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.parametrize("shift", range(4))
def test_no_syllable_is_cut(syllables: list[str], shift: int) -> None:
    text = "x" * shift + "".join(syllables) * 60
    begins, at = {shift}, shift
    for syllable in syllables * 60:
        at += len(syllable)
        begins.add(at)
    found = list(parts(text))
    assert "".join(found) == text
    assert len(found) > 1
    cut = 0
    for part in found:
        cut += len(part)
        assert cut in begins


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=LONGEST_CHARACTERS))
def test_no_cluster_of_unicode_is_cut(text: str) -> None:
    ends, at = {0}, 0
    for cluster in regex.findall(r"\X", text):
        at += len(cluster)
        ends.add(at)
    cut = 0
    for part in parts(text):
        cut += len(part)
        assert cut in ends


@pytest.mark.parametrize("cluster", [" \u0301", ".\u0301", ",\u200d", "\u00a0\u0308", "\r\n"], ids=ascii)
def test_a_space_or_a_mark_that_goes_on_is_no_place_to_cut(cluster: str) -> None:
    for lead in range(LONGEST_CHARACTERS - 4, LONGEST_CHARACTERS + 1):
        first = next(parts("x" * (lead - 1) + "." + cluster + "y" * LONGEST_CHARACTERS))
        assert len(first) <= lead or len(first) >= lead + len(cluster)


def test_an_endless_cluster_is_cut_all_the_same() -> None:
    assert all(len(part) <= LONGEST_CHARACTERS for part in parts("e" + "\u0301" * 1000))


def test_a_long_text_is_cut_where_its_sentences_end() -> None:
    quote = '"' + "This is one sentence of a quote that never closes, and it has a comma. " * 6
    assert all(part.rstrip().endswith("comma.") for part in parts(quote))
