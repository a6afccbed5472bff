"""Phonemes in pieces: nothing lost, nothing too long, cut where a reader would pause."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_server.engines.onnx.phoneme_pieces import pieces

CUTS: dict[str, tuple[str, int, list[str]]] = {
    "short enough":             ("ab cd.", 10, ["ab cd."]),
    "nothing":                  ("  ", 10, []),
    "sentences":                ("ab. cd. ef.", 8, ["ab. cd.", "ef."]),
    "sentences before clauses": ("ab, cd. ef, gh.", 12, ["ab, cd.", "ef, gh."]),
    "clauses":                  ("ab, cd, ef", 8, ["ab, cd,", "ef"]),
    "words":                    ("ab cd ef", 6, ["ab cd", "ef"]),
    "anywhere":                 ("abcdefgh", 3, ["abc", "def", "gh"]),
    "a quote closes first":     ("“ab.” cd", 6, ["“ab.”", "cd"]),
    "a number is not divided":  ("a 3.5 b", 5, ["a 3.5", "b"]),
    "a long word among others": ("ab abcdefgh cd.", 5, ["ab", "abcde", "fgh", "cd."]),
}  # fmt: skip


@pytest.mark.parametrize(("phonemes", "longest", "expected"), CUTS.values(), ids=CUTS)
def test_where_phonemes_are_cut(phonemes: str, longest: int, expected: list[str]) -> None:
    assert list(pieces(phonemes, longest)) == expected


@given(st.text("ab ,.!—”", max_size=200), st.integers(1, 40))
def test_no_piece_is_too_long_and_only_spaces_are_lost(phonemes: str, longest: int) -> None:
    found = pieces(phonemes, longest)
    assert all(0 < len(piece) <= longest for piece in found)
    assert "".join(found).replace(" ", "") == phonemes.replace(" ", "")
