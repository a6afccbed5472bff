"""Joins of two utterances: the pause is as long as it should be, whatever the engine adds, and nothing clicks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_server.engines.espeak import Espeak
from tts_server.samples import FULL_SCALE, Samples
from tts_server.synthesis.joins import AudioEnd, Join, pause_scale

PAUSE_SAMPLES = 6000
CLICK = 0.005 * FULL_SCALE


def constant(samples: int, value: int) -> Samples:
    return np.full(samples, value, np.int16)


def joined(one: Samples, other: Samples, pause_samples: int = PAUSE_SAMPLES) -> Samples:
    first = Join(None, 0)
    before = first.feed(one)
    return np.concatenate([before, Join(first.end, pause_samples).feed(other)])


def silence_between(audio: Samples) -> int:
    loud = np.flatnonzero(np.abs(audio.astype(np.int32)) > 100)
    return int(np.diff(loud).max()) - 1


SILENCES: dict[str, tuple[int, int]] = {
    "none of the engine's own": (0, 0),
    "at the end": (1000, 0),
    "at the beginning": (0, 2500),
    "at both": (1000, 2500),
    "exactly as much": (3000, 3000),
}


@pytest.mark.parametrize(("end", "begin"), SILENCES.values(), ids=SILENCES)
def test_silence_of_the_engine_counts(end: int, begin: int) -> None:
    one = np.concatenate([constant(500, 120), constant(end, 0)])
    other = np.concatenate([constant(begin, 0), constant(500, 120)])
    assert silence_between(joined(one, other)) == PAUSE_SAMPLES


def test_silence_is_counted_across_parts() -> None:
    first = Join(None, 0)
    for part in (constant(500, 8000), constant(700, 0), constant(0, 0), constant(800, 3)):
        first.feed(part)
    assert first.end == AudioEnd(last=3, silent_samples=1500)


def test_more_silence_than_the_pause_is_left_alone() -> None:
    one, other = np.concatenate([constant(9, 999), constant(8000, 0)]), constant(9, 50)
    assert np.array_equal(joined(one, other), np.concatenate([one, other]))


def test_the_first_utterance_is_untouched() -> None:
    assert np.array_equal(Join(None, PAUSE_SAMPLES).feed(constant(9, 30_000)), constant(9, 30_000))


@given(
    st.integers(-32_768, 32_767), st.integers(-32_768, 32_767), st.sampled_from([0, 1, 100, PAUSE_SAMPLES])
)  # fmt: skip
def test_no_step_at_a_join_is_audible(last: int, first: int, pause_samples: int) -> None:
    audio = joined(constant(300, last), constant(300, first), pause_samples)
    assert np.abs(np.diff(audio.astype(np.int32))).max() < CLICK


@given(st.sampled_from([100, 1000, PAUSE_SAMPLES]), st.integers(100, 32_767))
def test_ramps_are_part_of_the_pause(pause_samples: int, value: int) -> None:
    added = joined(constant(300, value), constant(300, value), pause_samples).size - 600
    ramps = 2 * value / (0.004 * FULL_SCALE)
    assert added == pause_samples or pause_samples < added <= ramps + 2  # each of the two is whole samples


@pytest.mark.parametrize(("speed", "expected"), [(0.25, 4.0), (0.5, 2.0), (1.0, 1.0), (2.0, 0.5), (4.0, 0.25)])
def test_pauses_shorten_as_words_do(speed: float, expected: float) -> None:
    assert pause_scale(speed, {}) == expected


def test_an_engine_may_say_how_its_pauses_shorten() -> None:
    measured = {0.5: 3.0, 1.0: 1.0, 2.0: 0.1}
    assert [pause_scale(speed, measured) for speed in (0.25, 0.5, 1.0, 2.0, 4.0)] == [3.0, 3.0, 1.0, 0.1, 0.1]
    assert pause_scale(2 / 3, measured) == pytest.approx(2.0)


def test_at_its_own_speed_the_built_in_engine_pauses_as_configured() -> None:
    assert pause_scale(1.0, Espeak.pause_scales) == 1.0
