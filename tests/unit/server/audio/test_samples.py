"""Whatever an engine yields becomes 16 bit once, and 16 bit stays what it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_server.audio import encode_whole
from tts_server.audio.containers import WAV_HEADER_BYTES, int16_bytes
from tts_server.errors import InvalidAudio
from tts_server.samples import FULL_SCALE, as_floats, as_samples


def test_16_bit_is_not_touched() -> None:
    samples = np.array([-32_768, 0, 32_767], np.int16)
    assert as_samples(samples) is samples


@given(st.lists(st.integers(-FULL_SCALE, FULL_SCALE)))
def test_there_and_back_is_the_same(values: list[int]) -> None:
    samples = np.array(values, np.int16)
    assert as_samples(as_floats(samples)).tolist() == values


def test_full_scale_is_one_and_what_is_louder_is_clipped() -> None:
    found = as_samples(np.array([1.0, -1.0, 7.0, -7.0, 0.5], np.float32))
    assert found.tolist() == [FULL_SCALE, -FULL_SCALE, FULL_SCALE, -FULL_SCALE, 16_384]


@pytest.mark.parametrize("level", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_garbage(level: float) -> None:
    with pytest.raises(InvalidAudio, match="not numbers"):
        as_samples(np.array([0.0, level, 0.0], np.float32))


def test_two_channels_are_garbage() -> None:
    with pytest.raises(InvalidAudio, match="2 dimensions"):
        as_samples(np.zeros((10, 2), np.float32))


@pytest.mark.parametrize("format_", ["wav", "pcm"])
def test_at_the_engines_rate_every_sample_reaches_the_caller_as_it_was(format_: str) -> None:
    samples = np.arange(-32_768, 32_768).astype(np.int16)
    encoded = encode_whole(samples, format_, 24_000)
    assert encoded[WAV_HEADER_BYTES if format_ == "wav" else 0 :] == samples.astype("<i2").tobytes()


def test_sound_that_is_bytes_already_is_not_copied() -> None:
    data = bytes(range(12))
    whole = np.frombuffer(data, "<i2")
    assert int16_bytes(whole) is data
    assert int16_bytes(whole[1:]) == data[2:]
    assert int16_bytes(whole[::2]) == whole[::2].tobytes()
    assert int16_bytes(whole[::-1]) == whole[::-1].tobytes()
    assert int16_bytes(np.frombuffer(data, ">i2")) == whole.byteswap().tobytes()
