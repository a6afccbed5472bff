"""Speech of another speed keeps its pitch, in parts of any size."""

import numpy as np
import pytest

from tts_server.inference.speech_server.time_stretch import TimeStretch
from tts_server.samples import Samples

RATE_HZ = 8_000
TONE = (8000 * np.sin(2 * np.pi * 200 * np.arange(RATE_HZ) / RATE_HZ)).astype(np.int16)


def stretched(samples: Samples, speed: float, piece: int) -> Samples:
    stretch = TimeStretch(RATE_HZ, speed)
    parts = [stretch.feed(samples[start : start + piece]) for start in range(0, samples.size, piece)]
    return np.concatenate([*parts, stretch.finish()])


@pytest.mark.parametrize("speed", [0.25, 0.5, 1.5, 4.0])
def test_the_duration_is_divided_and_the_pitch_stays(speed: float) -> None:
    heard = stretched(TONE, speed, 700)
    assert heard.size == pytest.approx(TONE.size / speed, abs=2)
    middle = heard[heard.size // 4 : heard.size // 4 * 3].astype(float)
    crossings = np.count_nonzero(np.diff(np.signbit(middle)))
    assert crossings / 2 / (middle.size / RATE_HZ) == pytest.approx(200, rel=0.05)


def test_how_it_is_cut_changes_nothing() -> None:
    assert np.array_equal(stretched(TONE, 1.5, 100), stretched(TONE, 1.5, 8_000))


def test_speed_one_changes_nothing() -> None:
    assert np.array_equal(stretched(TONE, 1.0, 300), TONE)


@pytest.mark.parametrize("size", [0, 1, 100])
def test_less_than_a_frame_has_its_length(size: int) -> None:
    assert stretched(TONE[:size], 2.0, 50).size == round(size / 2)
