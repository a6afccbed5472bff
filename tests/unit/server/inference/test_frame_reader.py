"""Frames as the parent reads them: none is lost, and no more is read than somebody takes."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

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


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe: the parent's, which the reader closes, and the worker's."""
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
    assert (await pipe.receive(5))[0] is Kind.DONE
    pipe.close()


async def test_what_is_no_frame_ends_it_after_the_frames_before_it(ends: tuple[int, int]) -> None:
    pipe = FrameReader(ends[0])
    os.write(ends[1], DONE + b"\xff" * 8)
    assert (await pipe.receive())[0] is Kind.DONE
    with pytest.raises(BrokenFrame):
        await pipe.receive()
    pipe.close()


async def test_a_long_frame_is_read_in_few_pieces(ends: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(os, "read", counted(os.read, sizes))
    pipe = FrameReader(ends[0])
    worker = asyncio.create_task(asyncio.to_thread(write, ends[1], frame(Kind.AUDIO, b"\x01" * AUDIO_BYTES)))
    assert len((await pipe.receive(5))[1]) == AUDIO_BYTES
    await worker
    assert sizes[0] == READ_BYTES
    assert sizes[1] == AUDIO_BYTES + HEADER_BYTES - READ_BYTES  # all that is left of it, if the pipe had it
    pipe.close()


def counted(read: Callable[[int, int], bytes], sizes: list[int]) -> Callable[[int, int], bytes]:
    def wrapper(source: int, size: int) -> bytes:
        sizes.append(size)
        return read(source, size)

    return wrapper


async def test_closing_wakes_who_waits(ends: tuple[int, int]) -> None:
    pipe = FrameReader(ends[0])
    receiver = asyncio.create_task(pipe.receive())
    await asyncio.sleep(0)
    pipe.close()
    pipe.close()
    with pytest.raises(PipeEnded):
        await receiver


async def test_sound_that_nobody_takes_is_not_read_before_somebody_does(ends: tuple[int, int]) -> None:
    pipe = FrameReader(ends[0])
    frames = 2 * HELD_BYTES // AUDIO_BYTES
    worker = asyncio.create_task(asyncio.to_thread(write, ends[1], frame(Kind.AUDIO, b"\x01" * AUDIO_BYTES) * frames))
    async with asyncio.timeout(5):
        while pipe.held_bytes < HELD_BYTES:  # noqa: ASYNC110 - the pipe tells only who receives
            await asyncio.sleep(0)
    assert pipe.held_bytes < HELD_BYTES + PIPE_BYTES
    assert not worker.done()
    assert sum([len((await pipe.receive(5))[1]) for _ in range(frames)]) == frames * AUDIO_BYTES
    await worker
    pipe.close()


def write(sink: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(sink, left) :]
