"""Voices of one reply are equally loud: measured as the standard says, scaled while the audio streams."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_server.samples import FULL_SCALE, Samples
from tts_server.synthesis.loudness import (
    ENOUGH_SECONDS,
    LoudnessMatch,
    LoudnessMeters,
    loudness_lkfs,
    scaled,
)

RATE_HZ = 24_000


def sine(hertz: float, level: float, seconds: float = 3.0, rate_hz: int = RATE_HZ) -> Samples:
    times = np.arange(int(seconds * rate_hz)) / rate_hz
    samples: Samples = np.rint(level * FULL_SCALE * np.sin(2 * np.pi * hertz * times)).astype(np.int16)
    return samples


def noise(level: float, seconds: float, seed: int = 0) -> Samples:
    """Noise in syllables, about as steady as speech."""
    times = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    values = np.random.default_rng(seed).normal(0, 1, times.size) * (1 + np.sin(2 * np.pi * 4 * times))
    samples: Samples = np.clip(np.rint(level * FULL_SCALE * values), -FULL_SCALE, FULL_SCALE).astype(np.int16)
    return samples


def loudness(samples: Samples) -> float:
    found = loudness_lkfs(samples, RATE_HZ)
    assert found is not None
    return found


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 24_000, 48_000])
def test_the_sine_of_the_standard_has_its_loudness(rate_hz: int) -> None:
    """BS.1770-5, annex 1: 0 dB at 997 Hz on one channel is -3.01 LKFS."""
    assert loudness_lkfs(sine(997, 1.0, rate_hz=rate_hz), rate_hz) == pytest.approx(-3.01, abs=0.06)


# The filters of BS.1770-5, annex 1, at 48 kHz: numerator and denominator of each.
SHELF = (1.53512485958697, -2.69169618940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585)
HIGH_PASS = (1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621)


def standard_level_db(hertz: float) -> float:
    z = np.exp(-2j * np.pi * hertz / 48_000)
    return sum(
        20 * float(np.log10(abs(np.polyval(b[::-1], z) / np.polyval(a[::-1], z)))) for b, a in (SHELF, HIGH_PASS)
    )


@pytest.mark.parametrize("hertz", [50, 100, 300, 2000, 5000, 10_000])
def test_frequencies_weigh_as_in_the_standard(hertz: int) -> None:
    one, other = (loudness_lkfs(sine(each, 0.1, rate_hz=48_000), 48_000) for each in (hertz, 997))
    assert one is not None
    assert other is not None
    assert one - other == pytest.approx(standard_level_db(hertz) - standard_level_db(997), abs=0.05)


def test_silence_between_words_does_not_count() -> None:
    speech = noise(0.1, 2)
    pause = np.zeros(RATE_HZ * 4, np.int16)
    assert loudness(np.concatenate([speech, pause, speech])) == pytest.approx(loudness(speech), abs=0.5)


@pytest.mark.parametrize("samples", [np.zeros(RATE_HZ, np.int16), noise(0.1, 0.39)])
def test_silence_and_less_than_a_block_have_no_loudness(samples: Samples) -> None:
    assert loudness_lkfs(samples, RATE_HZ) is None


def matched(
    match: LoudnessMatch, meters: LoudnessMeters, voice: str, samples: Samples, part: int = 2400
) -> list[Samples]:
    audio = match.begin(meters.of(voice, RATE_HZ))
    parts = [audio.feed(samples[start : start + part]) for start in range(0, samples.size, part)]
    return [*parts, audio.finish()]


@pytest.mark.parametrize("quieter_by", [-8, 0, 8])
def test_the_second_voice_gets_the_loudness_of_the_first(quieter_by: int) -> None:
    match, meters = LoudnessMatch(), LoudnessMeters()
    first, second = noise(0.05, 3), noise(0.05 * 10 ** (-quieter_by / 20), 4, seed=1)
    untouched = matched(match, meters, "one", first)
    found = np.concatenate(matched(match, meters, "two", second))
    assert np.array_equal(np.concatenate(untouched), first)
    assert all(part.size for part in untouched[:-1]), "the first voice is never held back"
    assert found.size == second.size
    assert loudness(found) == pytest.approx(loudness(first), abs=0.5)


def test_a_voice_is_held_back_until_it_is_known_and_never_again() -> None:
    meters = LoudnessMeters()
    for reply in range(2):
        match = LoudnessMatch()
        matched(match, meters, "one", noise(0.05, 3))
        parts = matched(match, meters, "two", noise(0.02, 4, seed=1))
        held = [part for part in parts[:-1] if not part.size]
        assert len(held) == (round(ENOUGH_SECONDS / 0.1) - 1 if reply == 0 else 0)


def test_the_gain_of_a_voice_is_the_same_in_all_of_a_reply() -> None:
    match, meters = LoudnessMatch(), LoudnessMeters()
    matched(match, meters, "one", noise(0.05, 3))
    tone = sine(300, 0.01)
    found = [np.concatenate(matched(match, meters, "two", samples)) for samples in (tone, noise(0.2, 3), tone)]
    assert np.array_equal(found[0], found[2])


def test_a_short_word_is_not_lost() -> None:
    match, meters = LoudnessMatch(), LoudnessMeters()
    matched(match, meters, "one", noise(0.05, 3))
    word = noise(0.01, 0.3)
    assert np.concatenate(matched(match, meters, "two", word)).size == word.size


@given(st.floats(0.1, 8), st.integers(-32_768, 32_767), st.integers(-32_768, 32_767))
def test_scaling_keeps_order_and_range(gain: float, one: int, other: int) -> None:
    low, high = sorted((one, other))
    found = scaled(np.array([low, high], np.int16), gain)
    assert found[0] <= found[1]
    assert np.sign(found[1]) in {0, np.sign(high)}


def test_samples_below_the_knee_are_scaled_exactly() -> None:
    assert list(scaled(np.array([0, 1000, -5000], np.int16), 2.0)) == [0, 2000, -10_000]
