"""The resampler: what comes out is as long, as high and as loud as what goes in, however it is cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts_server.audio import Resampler
from tts_server.samples import FULL_SCALE, Samples, as_samples

RATES_HZ = (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)


def tone(rate_hz: int, seconds: float = 0.5) -> Samples:
    return as_samples(0.5 * np.sin(2 * np.pi * 440 * np.arange(round(rate_hz * seconds)) / rate_hz))


@pytest.mark.parametrize("to_hz", RATES_HZ)
@pytest.mark.parametrize("from_hz", RATES_HZ)
def test_a_tone_keeps_its_length_its_pitch_and_its_loudness(from_hz: int, to_hz: int) -> None:
    resampler = Resampler(from_hz, to_hz)
    heard = np.concatenate([resampler.feed(tone(from_hz)), resampler.finish()])
    assert heard.size == to_hz // 2
    edge = to_hz // 20
    difference = heard.astype(int) - tone(to_hz)
    assert np.max(np.abs(difference[edge:-edge])) < 0.001 * FULL_SCALE


@settings(max_examples=30)
@given(st.lists(st.integers(0, 3000), min_size=1, max_size=12), st.sampled_from(RATES_HZ))
def test_pieces_of_any_size_sound_as_the_whole(sizes: list[int], to_hz: int) -> None:
    samples = tone(22_050, sum(sizes) / 22_050)
    whole, pieces = Resampler(22_050, to_hz), Resampler(22_050, to_hz)
    cut = np.split(samples, np.cumsum(sizes)[:-1])
    together = np.concatenate([*(pieces.feed(piece) for piece in cut), pieces.finish()])
    np.testing.assert_allclose(together, np.concatenate([whole.feed(samples), whole.finish()]), atol=1)


def test_the_same_rate_passes_through_untouched() -> None:
    assert np.array_equal(Resampler(24_000, 24_000).feed(tone(24_000)), tone(24_000))
