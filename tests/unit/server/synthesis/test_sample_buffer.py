"""Samples between synthesis and reader: when the next utterance may begin, when it is due, what a retry removes."""

import asyncio
import time

import numpy as np
import pytest

from tts_server.samples import Samples
from tts_server.synthesis.sample_buffer import AHEAD_SECONDS, SampleBuffer

RATE_HZ = 100


def audio(seconds: float, level: int = 1) -> Samples:
    return np.full(int(seconds * RATE_HZ), level, np.int16)


@pytest.fixture
def buffer() -> SampleBuffer:
    return SampleBuffer(RATE_HZ)


def room(buffer: SampleBuffer) -> str:
    """A word, because a type checker takes a bool that it has seen once for settled."""
    return "room" if buffer._room.is_set() else "full"


def utterance(buffer: SampleBuffer) -> str:
    return "silent" if buffer.utterance_is_silent else "read" if buffer.utterance_was_read else "unread"


def test_a_read_takes_everything_in_order(buffer: SampleBuffer) -> None:
    buffer.write(audio(1, level=1))
    buffer.write(audio(0))
    buffer.write(audio(1, level=2))
    assert np.array_equal(buffer.read(), np.concatenate([audio(1, level=1), audio(1, level=2)]))
    assert not buffer


def test_an_utterance_may_begin_until_the_buffer_is_full_and_again_after_a_read(buffer: SampleBuffer) -> None:
    buffer.write(audio(AHEAD_SECONDS))
    assert room(buffer) == "room"
    buffer.write(audio(1))
    assert room(buffer) == "full"
    buffer.read()
    assert room(buffer) == "room"


def test_playback_ends_when_everything_that_was_written_has_been_played(buffer: SampleBuffer) -> None:
    before = time.monotonic()
    buffer.write(audio(2))
    buffer.read()
    buffer.write(audio(3))
    assert before + 5 <= (buffer.playback_end or 0) <= time.monotonic() + 5


def test_playback_has_no_end_before_the_first_audio(buffer: SampleBuffer) -> None:
    assert buffer.playback_end is None


def test_a_dropped_utterance_leaves_the_ones_before_it(buffer: SampleBuffer) -> None:
    buffer.begin_utterance()
    buffer.write(audio(1, level=1))
    end = buffer.playback_end
    buffer.begin_utterance()
    assert utterance(buffer) == "silent"
    buffer.write(audio(AHEAD_SECONDS, level=2))
    assert utterance(buffer) == "unread"
    assert room(buffer) == "full"
    buffer.drop_utterance()
    assert room(buffer) == "room"
    assert buffer.playback_end == pytest.approx(end)
    assert np.array_equal(buffer.read(), audio(1, level=1))


def test_an_utterance_of_which_samples_were_read_is_known(buffer: SampleBuffer) -> None:
    buffer.write(audio(1))
    buffer.begin_utterance()
    buffer.read()
    assert utterance(buffer) == "silent", "these were the last one's"
    buffer.write(audio(1))
    buffer.read()
    assert utterance(buffer) == "read"


async def test_a_reader_wakes_at_the_next_write(buffer: SampleBuffer) -> None:
    reader = asyncio.create_task(buffer.wait_for_change())
    await asyncio.sleep(0)
    assert not reader.done()
    buffer.write(audio(1))
    await asyncio.wait_for(reader, 5)
