"""Frames as the parent reads them: none is lost, and no more is read than somebody takes."""

import asyncio
import os
import select
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

import pytest

from tests.support.timeouts import HANG_SECONDS
from tts_server.inference.pool.frame_reader import HELD_BYTES, READ_BYTES, FrameReader
from tts_server.inference.wire.frames import (
    AUDIO_BYTES,
    HEADER_BYTES,
    PIPE_BYTES,
    BrokenFrame,
    Kind,
    PipeEnded,
    frame,
    shared_frame,
    shared_range,
)

DONE = frame(Kind.DONE)


class Read(NamedTuple):
    """A system call of the reader."""

    asked_bytes: int
    read_bytes: int


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe: the parent reads from the first, which the test closes; a worker writes to the second."""
    source, sink = os.pipe()
    yield source, sink
    with suppress(OSError):
        os.close(sink)


async def test_what_was_said_before_the_end_is_heard_first(ends: tuple[int, int]) -> None:
    pipe = FrameReader(ends[0])
    os.write(ends[1], frame(Kind.AUDIO, b"ab") + DONE)
    os.close(ends[1])
    kind, payload = await pipe.receive()
    assert (kind, bytes(payload)) == (Kind.AUDIO, b"ab")
    assert (await pipe.receive())[0] is Kind.DONE
    for _ in range(2):
        with pytest.raises(PipeEnded):
            await pipe.receive()
    pipe.close()


async def test_sound_that_is_there_is_taken_together_up_to_its_end(ends: tuple[int, int]) -> None:
    pipe = FrameReader(ends[0])
    said = [frame(Kind.AUDIO, b"ab"), frame(Kind.AUDIO, b"cd"), shared_frame(6, 8), DONE, frame(Kind.AUDIO, b"ef")]
    os.write(ends[1], b"".join(said))
    await pipe.receive()
    (audio, sound), (shared, place) = pipe.buffered_audio()
    assert (audio, bytes(sound), shared, shared_range(place)) == (Kind.AUDIO, b"cd", Kind.SHARED, (6, 8))
    assert (await pipe.receive())[0] is Kind.DONE
    pipe.close()


async def test_a_cancelled_receiver_loses_nothing(ends: tuple[int, int]) -> None:
    pipe = FrameReader(ends[0])
    receiver = asyncio.create_task(pipe.receive())
    await asyncio.sleep(0)
    os.write(ends[1], DONE[:3])
    receiver.cancel()
    await asyncio.wait([receiver])
    os.write(ends[1], DONE[3:])
    assert (await pipe.receive())[0] is Kind.DONE
    pipe.close()


async def test_silence_times_out_and_the_next_frame_comes_all_the_same(ends: tuple[int, int]) -> None:
    pipe = FrameReader(ends[0])
    with pytest.raises(TimeoutError):
        await pipe.receive(0.01)
    os.write(ends[1], DONE)
    assert (await pipe.receive(HANG_SECONDS))[0] is Kind.DONE
    pipe.close()


async def test_what_is_no_frame_ends_it_after_the_frames_before_it(ends: tuple[int, int]) -> None:
    pipe = FrameReader(ends[0])
    os.write(ends[1], DONE + b"\xff" * 8)
    assert (await pipe.receive())[0] is Kind.DONE
    with pytest.raises(BrokenFrame):
        await pipe.receive()
    pipe.close()


async def test_a_long_frame_is_read_in_few_pieces(ends: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Read] = []
    monkeypatch.setattr(os, "read", recorded(os.read, reads))
    pipe = FrameReader(ends[0])
    worker = asyncio.create_task(asyncio.to_thread(write, ends[1], frame(Kind.AUDIO, b"\x01" * AUDIO_BYTES)))
    assert len((await pipe.receive(HANG_SECONDS))[1]) == AUDIO_BYTES
    await worker
    assert reads[0].asked_bytes == READ_BYTES
    assert reads[1].asked_bytes == AUDIO_BYTES + HEADER_BYTES - reads[0].read_bytes  # all that is left of it
    pipe.close()


def recorded(read: Callable[[int, int], bytes], reads: list[Read]) -> Callable[[int, int], bytes]:
    def wrapper(source: int, size: int) -> bytes:
        data = read(source, size)
        reads.append(Read(size, len(data)))
        return data

    return wrapper


async def test_closing_wakes_who_waits(ends: tuple[int, int]) -> None:
    pipe = FrameReader(ends[0])
    receiver = asyncio.create_task(pipe.receive())
    await asyncio.sleep(0)
    pipe.close()
    pipe.close()
    with pytest.raises(PipeEnded):
        await receiver


async def test_sound_that_nobody_takes_is_not_read_before_somebody_does(
    ends: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Read] = []
    monkeypatch.setattr(os, "read", recorded(os.read, reads))
    pipe = FrameReader(ends[0])
    frames = 2 * (HELD_BYTES + PIPE_BYTES) // AUDIO_BYTES  # more than the reader holds and the pipe has room for
    worker = asyncio.create_task(asyncio.to_thread(write, ends[1], frame(Kind.AUDIO, b"\x01" * AUDIO_BYTES) * frames))
    async with asyncio.timeout(HANG_SECONDS):
        while pipe.held_bytes < HELD_BYTES:  # noqa: ASYNC110 - the pipe tells only who receives
            await asyncio.sleep(0)
    before = len(reads)
    assert select.select([ends[0]], [], [], HANG_SECONDS)[0], "the worker goes on, so there is more to read"
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(reads) == before
    assert pipe.held_bytes < HELD_BYTES + PIPE_BYTES
    assert not worker.done()
    assert sum([len((await pipe.receive(HANG_SECONDS))[1]) for _ in range(frames)]) == frames * AUDIO_BYTES
    await worker
    pipe.close()


def write(sink: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(sink, left) :]
