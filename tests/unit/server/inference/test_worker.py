"""Inside an engine's process: who is cancelled, and what leaves through its pipe."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from tts_server.errors import EngineError
from tts_server.inference.wire.frames import (
    BrokenFrame,
    Kind,
    PipeEnded,
    Unpacker,
    cancellation,
    shared_frame,
    shared_range,
)
from tts_server.inference.wire.shared_buffer import SHARED_BYTES, SharedBuffer, SharedBufferWriter
from tts_server.inference.worker.cancellation import CancellationReader
from tts_server.inference.worker.main import _serve
from tts_server.samples import Samples

WANTED = {"text": "a", "voice": "ann", "language": None, "speed": 1.0}


class Whole:
    """An engine that has everything at once."""

    sample_rate_hz = 16_000
    voices = {"ann": ("en",)}

    def speak(self, text: str, voice: str, language: str | None, speed: float) -> list[Samples]:
        if text == "fail":
            raise EngineError("It cannot say that.")
        return [np.array([1, -32_768, 32_767], np.int16), np.zeros(0, np.int16), np.array([2], np.int16)]


def left(text: str, *, cancelled: bool = False, writer: SharedBufferWriter | None = None) -> list[tuple[Kind, bytes]]:
    """The frames of one utterance, by default without shared memory."""
    cancellations = CancellationReader(-1)
    cancellations.begin()
    if cancelled:
        cancellations.cancel(1)
    source, sink = os.pipe()
    _serve(Whole(), WANTED | {"text": text}, cancellations, sink, writer or SharedBufferWriter(-1))
    os.close(sink)
    with os.fdopen(source, "rb") as pipe:
        return [(kind, bytes(payload)) for kind, payload in Unpacker().feed(pipe.read())]


def test_16_bit_sound_leaves_as_it_is() -> None:
    assert left("words") == [
        (Kind.AUDIO, np.array([1, -32_768, 32_767], "<i2").tobytes()),
        (Kind.AUDIO, np.array([2], "<i2").tobytes()),
        (Kind.DONE, b""),
    ]


def test_sound_goes_through_the_shared_memory_as_far_as_it_fits() -> None:
    shared = SharedBuffer()
    writer = SharedBufferWriter(os.dup(shared.descriptor))
    writer.switch_half()
    writer.write(np.zeros(SHARED_BYTES // 4 - 3, np.int16))
    first, second, end = left("words", writer=writer)
    assert first[0] is Kind.SHARED
    assert bytes(shared.read(*shared_range(memoryview(first[1])))) == np.array([1, -32_768, 32_767], "<i2").tobytes()
    assert second == (Kind.AUDIO, np.array([2], "<i2").tobytes())
    assert end == (Kind.DONE, b"")
    writer.switch_half()
    assert [kind for kind, _ in left("words", writer=writer)] == [Kind.SHARED, Kind.SHARED, Kind.DONE]
    shared.close_descriptor()


def test_sound_stays_until_the_one_after_the_next_begins() -> None:
    shared = SharedBuffer()
    writer = SharedBufferWriter(os.dup(shared.descriptor))
    places = []
    for number in range(4):
        writer.switch_half()
        places.append(writer.write(np.array([number], np.int16)))
    assert places[2:] == places[:2]
    found = [np.frombuffer(shared.read(*place), np.int16)[0] for place in places[2:] if place is not None]
    assert found == [2, 3]
    shared.close_descriptor()


@pytest.mark.parametrize("place", [(0, 0), (SHARED_BYTES, 2), (SHARED_BYTES - 2, 4), (2**32 - 1, 2**32 - 1)])
def test_what_lies_outside_of_the_shared_memory_is_a_broken_frame(place: tuple[int, int]) -> None:
    shared = SharedBuffer()
    shared.close_descriptor()
    with pytest.raises(BrokenFrame, match="outside"):
        shared.read(*shared_range(content(shared_frame(*place))))


def test_closed_memory_has_no_sound_and_costs_no_descriptor() -> None:
    before = open_descriptors()
    shared = SharedBuffer()
    taken = shared.read(0, 2)
    shared.close_descriptor()
    shared.close()  # somebody still has a part of it: nothing is taken from under him
    assert bytes(taken) == b"\0\0"
    del taken
    shared.close()
    shared.close()
    with pytest.raises(PipeEnded):
        shared.read(0, 2)
    assert open_descriptors() == before


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_frame_that_names_no_place_is_broken() -> None:
    with pytest.raises(BrokenFrame, match="another size"):
        shared_range(memoryview(b"\0" * 7))


def content(whole: bytes) -> memoryview:
    ((_, payload),) = Unpacker().feed(whole)
    return payload


def test_what_nobody_listens_to_ends_without_a_sound() -> None:
    assert left("words", cancelled=True) == [(Kind.DONE, b"")]
    assert left("fail", cancelled=True) == [(Kind.DONE, b"")], "the engine is not asked"


def test_an_engine_that_fails_reports_it_instead_of_the_end() -> None:
    ((kind, payload),) = left("fail")
    assert kind is Kind.ERROR
    assert b"It cannot say that." in payload


@pytest.fixture
def stops() -> list[int]:
    return []


def test_a_cancellation_stops_the_utterance_it_names_and_no_other(stops: list[int]) -> None:
    cancellations = CancellationReader(-1)
    cancellations.cancel_engine = lambda: stops.append(1)
    cancellations.begin()
    cancellations.end()
    cancellations.cancel(1)  # late: it has ended
    cancellations.begin()
    assert not cancellations.all_cancelled
    cancellations.cancel(1)  # later still: another one is spoken
    assert not cancellations.all_cancelled
    assert stops == []
    cancellations.cancel(2)
    assert stops == [1]


def test_a_cancellation_may_come_before_its_utterance(stops: list[int]) -> None:
    cancellations = CancellationReader(-1)
    cancellations.cancel_engine = lambda: stops.append(1)
    cancellations.cancel(1)
    cancellations.begin()
    assert cancellations.all_cancelled
    assert stops == []  # the engine has not begun


def test_cancellations_are_heard_over_their_pipe() -> None:
    source, sink = os.pipe()
    cancellations, heard = CancellationReader(source), threading.Event()
    cancellations.cancel_engine = heard.set
    cancellations.begin()
    threading.Thread(target=cancellations.run, daemon=True).start()
    os.write(sink, cancellation(1)[:3])
    os.write(sink, cancellation(1)[3:])
    assert heard.wait(5)
    # The pipe stays open: its end would end this process.
