"""The limiter: nothing above the ceiling, nothing clipped, nothing changed where nothing is too loud."""

import numpy as np
import pytest

from tts_server.engines.limiter import CEILING, LOOK_AHEAD_SECONDS, Limiter
from tts_server.engines.onnx.family import FloatSamples

RATE_HZ = 24_000


def limited(samples: FloatSamples, *cuts: int) -> FloatSamples:
    limiter = Limiter(RATE_HZ)
    parts = [limiter.process(part) for part in np.split(samples, cuts)]
    return np.concatenate([*parts, limiter.finish()])


def speech(peak: float, seconds: float = 0.5) -> FloatSamples:
    """A tone whose loudness swells and falls, with `peak` as its highest sample."""
    time = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    tone = np.sin(2 * np.pi * 150 * time) * np.sin(np.pi * time / seconds) ** 2
    scaled: FloatSamples = (peak * tone / np.abs(tone).max()).astype(np.float32)
    return scaled


def test_speech_below_the_ceiling_is_not_touched() -> None:
    samples = speech(CEILING - 0.01)
    assert np.array_equal(limited(samples), samples)


@pytest.mark.parametrize("peak", [1.0, 1.24, 1.45, 4.0])
def test_no_sample_exceeds_the_ceiling(peak: float) -> None:
    heard = limited(speech(peak))
    assert 0.9 * CEILING < np.abs(heard).max() <= CEILING + 1e-6


def test_peaks_are_made_smaller_and_not_cut_off() -> None:
    """Clipped peaks are flat: many samples in a row at the ceiling."""
    samples = speech(1.4)
    heard = limited(samples)
    clipped = np.clip(samples, -CEILING, CEILING)
    assert np.count_nonzero(np.abs(clipped) >= CEILING) > 500
    assert np.count_nonzero(np.abs(heard) >= CEILING) < 10


def test_the_gain_changes_smoothly_and_only_around_the_peak() -> None:
    samples = np.full(RATE_HZ, 0.5, np.float32)
    samples[RATE_HZ // 2] = 1.9
    gains = limited(samples) / samples
    reach = int(LOOK_AHEAD_SECONDS * RATE_HZ)
    assert gains.min() == pytest.approx(0.5, abs=0.001)
    assert np.abs(np.diff(gains)).max() < 1 / reach
    changed = np.flatnonzero(gains < 1.0)
    assert changed.min() >= RATE_HZ // 2 - 2 * reach
    assert changed.max() <= RATE_HZ // 2 + 2 * reach


@pytest.mark.parametrize("cuts", [(1,), (5000,), (100, 101, 6000, 6001, 11_000), tuple(range(50, 12_000, 50))])
def test_a_stream_sounds_the_same_wherever_its_parts_are_cut(cuts: tuple[int, ...]) -> None:
    samples = speech(1.4)
    np.testing.assert_allclose(limited(samples, *cuts), limited(samples), atol=1e-6)


def test_each_stream_begins_anew() -> None:
    limiter = Limiter(RATE_HZ)
    limiter.process(speech(4.0)[:6000])
    limiter.finish()
    quiet = speech(0.5)
    assert np.array_equal(np.concatenate((limiter.process(quiet), limiter.finish())), quiet)


def test_a_part_is_held_back_by_the_look_ahead_only() -> None:
    limiter = Limiter(RATE_HZ)
    assert limiter.process(np.zeros(10_000, np.float32)).size == 10_000 - 2 * int(LOOK_AHEAD_SECONDS * RATE_HZ)
    assert limiter.process(np.zeros(10, np.float32)).size == 10
    assert limiter.finish().size == 2 * int(LOOK_AHEAD_SECONDS * RATE_HZ)
