"""Time stretching: shorter audio of the same pitch and loudness, without clicks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_server.engines.onnx.family import FloatSamples
from tts_server.engines.onnx.time_stretch import FRAME_SECONDS, faster

RATE_HZ = 24_000


def tone(frequency_hz: float, seconds: float) -> FloatSamples:
    times = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return (0.5 * np.sin(2 * np.pi * frequency_hz * times)).astype(np.float32)


def pitch_hz(samples: FloatSamples) -> float:
    """The strongest frequency."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    return float(np.argmax(spectrum) * RATE_HZ / samples.size)


@given(frequency_hz=st.floats(80, 400), seconds=st.floats(0.5, 3), speed=st.floats(1, 3))
def test_the_duration_is_divided_and_the_pitch_stays(frequency_hz: float, seconds: float, speed: float) -> None:
    stretched = faster(tone(frequency_hz, seconds), RATE_HZ, speed)
    assert stretched.size / RATE_HZ == pytest.approx(seconds / speed, abs=FRAME_SECONDS)
    assert pitch_hz(stretched) == pytest.approx(frequency_hz, abs=2 * RATE_HZ / stretched.size)


@pytest.mark.parametrize("speed", [1.0, 1.5, 2.7])
def test_a_tone_keeps_its_loudness_and_has_no_step(speed: float) -> None:
    original, stretched = tone(150, 2), faster(tone(150, 2), RATE_HZ, speed)
    inner = stretched[RATE_HZ // 10 : -RATE_HZ // 10]
    assert np.sqrt(np.mean(inner**2)) == pytest.approx(np.sqrt(np.mean(original**2)), rel=0.05)
    assert np.abs(np.diff(inner)).max() < 1.5 * np.abs(np.diff(original)).max()


@pytest.mark.parametrize("size", [0, 1, 100, 719, 721])
def test_a_few_samples_are_left_as_they_are(size: int) -> None:
    samples = tone(150, 1)[:size]
    assert np.array_equal(faster(samples, RATE_HZ, 3.0), samples)
