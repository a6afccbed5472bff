"""Inside an engine's process: who is cancelled, and what leaves through its pipe."""

import os
import threading

import numpy as np
import pytest

from tts_server.engines.frames import Kind, Unpacker, cancellation
from tts_server.engines.worker import Listener, _serve
from tts_server.errors import EngineError
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


def left(text: str, *, cancelled: bool = False) -> list[tuple[Kind, bytes]]:
    """The frames of one utterance."""
    listener = Listener(-1)
    listener.begins()
    if cancelled:
        listener.gone_from(1)
    source, sink = os.pipe()
    _serve(Whole(), WANTED | {"text": text}, listener, sink)
    os.close(sink)
    with os.fdopen(source, "rb") as pipe:
        return [(kind, bytes(payload)) for kind, payload in Unpacker().feed(pipe.read())]


def test_16_bit_sound_leaves_as_it_is() -> None:
    assert left("words") == [
        (Kind.AUDIO, np.array([1, -32_768, 32_767], "<i2").tobytes()),
        (Kind.AUDIO, np.array([2], "<i2").tobytes()),
        (Kind.DONE, b""),
    ]


def test_what_nobody_listens_to_ends_without_a_sound() -> None:
    assert left("words", cancelled=True) == [(Kind.DONE, b"")]


def test_an_engine_that_fails_says_so_in_place_of_the_end() -> None:
    ((kind, payload),) = left("fail")
    assert kind is Kind.ERROR
    assert b"It cannot say that." in payload


@pytest.fixture
def stops() -> list[int]:
    return []


def test_a_cancellation_stops_the_utterance_it_names_and_no_other(stops: list[int]) -> None:
    listener = Listener(-1)
    listener.cancel = lambda: stops.append(1)
    listener.begins()
    listener.ends()
    listener.gone_from(1)  # late: it has ended
    listener.begins()
    assert not listener.gone
    listener.gone_from(1)  # later still: another one is spoken
    assert not listener.gone
    assert stops == []
    listener.gone_from(2)
    assert stops == [1]


def test_a_cancellation_may_come_before_its_utterance(stops: list[int]) -> None:
    listener = Listener(-1)
    listener.cancel = lambda: stops.append(1)
    listener.gone_from(1)
    listener.begins()
    assert listener.gone
    assert stops == []  # the engine has not begun


def test_cancellations_are_heard_over_their_pipe() -> None:
    source, sink = os.pipe()
    listener, heard = Listener(source), threading.Event()
    listener.cancel = heard.set
    listener.begins()
    threading.Thread(target=listener.listen, daemon=True).start()
    os.write(sink, cancellation(1)[:3])
    os.write(sink, cancellation(1)[3:])
    assert heard.wait(5)
    # The pipe stays open: its end would end this process.
