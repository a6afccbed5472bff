"""A pool tells others of its engine's pauses in a header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_server.engines.espeak import Espeak
from tts_server.inference.pause_scales import MOST_SPEEDS, decode, encode

SCALES = st.dictionaries(
    st.integers(1, 1000).map(lambda speed: speed / 100), st.integers(0, 1000).map(lambda scale: scale / 100), min_size=1
)


@given(SCALES)
def test_what_is_told_is_understood(scales: dict[float, float]) -> None:
    expected = scales if len(scales) <= MOST_SPEEDS else {}
    assert decode(encode(scales)) == expected


def test_the_built_in_engines_are_told_exactly() -> None:
    assert decode(encode(Espeak.pause_scales)) == Espeak.pause_scales


@pytest.mark.parametrize(
    "value", ["", "1", "1=", "=1", "a=b", "1=1,", "0=1", "-1=1", "1=-1", "1=nan", "inf=1", "1=1=1", "1=1," * 99 + "1=1"]
)
def test_what_is_not_understood_counts_as_not_told(value: str) -> None:
    assert decode(value) == {}
