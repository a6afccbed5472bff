"""Hosts one engine in a process that may be killed: `python -m tts_server.inference.worker.main espeak 5 0 7`.

Frames (`frames.py`) come on stdin and leave on stdout; on the first file descriptor that is named come cancellations.
The main thread reads and speaks, a second one listens for those, and for the end of their pipe. The next argument is
the size of batch that an engine which can batch is measured with; below 2 it is not. The last one is the descriptor of
the memory for sound (`shared_sound.py`), -1 where there is none. It imports little on purpose: a crashed engine is back
within a fraction of a second.
"""

import ctypes
import faulthandler
import fcntl
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, NoReturn

import numpy as np

from tts_server.engines.protocol import WARM_UP_TEXT, Engine, Sound
from tts_server.engines.registry import engine_factory
from tts_server.inference.wire.errors import said_of
from tts_server.inference.wire.frames import (
    AUDIO_BYTES,
    NUMBER_BYTES,
    PIPE_BYTES,
    Kind,
    Unpacker,
    cancelled_number,
    content_of,
    frame,
    header,
    json_frame,
    shared_frame,
)
from tts_server.inference.wire.shared_buffer import SharedBufferWriter
from tts_server.inference.worker.batches import batching, measure, speak_together
from tts_server.malloc_tuning import keep_freed_memory
from tts_server.samples import as_samples

PR_SET_PDEATHSIG = 1
READ_BYTES = 65_536

_DONE = frame(Kind.DONE)


def main(arguments: list[str]) -> int:
    """Serve until stdin ends. The exit code is 0 then, 1 when the engine does not load."""
    _die_with_parent()
    faulthandler.enable()
    keep_freed_memory()
    source, sink = _claim_pipes()
    room = SharedBufferWriter(int(arguments[3]))
    listener = CancellationReader(int(arguments[1]))
    threading.Thread(target=listener.listen, daemon=True).start()
    try:
        engine = engine_factory(arguments[0])()
        listener.cancel = getattr(engine, "cancel", None)
        voices = {name: list(languages) for name, languages in engine.voices.items()}
        _warm_up(engine)
        about_engine = _about_passages(engine) | _about_batches(engine, int(arguments[2]))
    except Exception as error:
        _report(sink, error)
        return 1
    ready = {"sample_rate_hz": engine.sample_rate_hz, "voices": voices} | about_engine
    _write(sink, json_frame(Kind.READY, ready))
    for kind, wanted in _wanted(source):
        if kind is Kind.BATCH:
            _serve_batch(engine, wanted["utterances"], listener, sink)
        else:
            listener.begins()
            room.turn()
            _serve(engine, wanted, listener, sink, room)
    return 0


def _wanted(source: int) -> Iterator[tuple[Kind, Any]]:
    unpacker = Unpacker()
    while data := os.read(source, READ_BYTES):
        for kind, payload in unpacker.feed(data):
            yield kind, content_of(payload)
    _exit()


def _about_passages(engine: Engine) -> dict[str, object]:
    characters = getattr(engine, "passage_characters", None)
    return {} if characters is None else {"passage_characters": int(characters)}


def _about_batches(engine: Engine, size: int) -> dict[str, object]:
    able = batching(engine)
    if able is None:
        return {}
    groups = dict(getattr(engine, "voice_groups", {}))
    return {"voice_groups": groups, "batch": measure(able, size) if size > 1 else None}


def _serve_batch(engine: Engine, wanted: list[dict[str, Any]], listener: "CancellationReader", sink: int) -> None:
    listener.begins(len(wanted))
    able = batching(engine)
    assert able is not None  # noqa: S101 - its parent asks only those who can
    try:
        for message in speak_together(able, wanted, listener.is_gone):
            _write(sink, *message)
    finally:
        listener.ends()


def _serve(
    engine: Engine, wanted: dict[str, Any], listener: "CancellationReader", sink: int, room: SharedBufferWriter
) -> None:
    end = b""
    try:
        parts: Iterable[Sound] = ()
        if not listener.gone:  # it may have left before its turn
            parts = engine.speak(wanted["text"], wanted["voice"], wanted["language"], wanted["speed"])
        if isinstance(parts, list):  # all there is, and so one message with its end
            if not listener.gone:
                _write(sink, *(piece for part in parts for piece in _pieces(part, room)), _DONE)
                end = _DONE
        else:
            for part in parts:
                if listener.gone:
                    _close(parts)
                    break
                _write(sink, *_pieces(part, room))
    except Exception as error:
        listener.ends()
        _report(sink, error)
    else:
        listener.ends()
        if not end:
            _write(sink, _DONE)


def _pieces(part: Sound, room: SharedBufferWriter) -> Iterator[bytes | memoryview]:
    """Frames of the sound, as little copied as can be."""
    samples = as_samples(part)
    if samples.size == 0:
        return
    if (place := room.put(samples)) is not None:
        yield shared_frame(*place)
        return
    data = np.ascontiguousarray(samples, "<i2").data.cast("B")
    for start in range(0, len(data), AUDIO_BYTES):
        piece = data[start : start + AUDIO_BYTES]
        yield header(Kind.AUDIO, len(piece))
        yield piece


def _close(parts: Iterable[Sound]) -> None:
    close = getattr(parts, "close", None)
    if close is not None:
        close()


def _warm_up(engine: Engine) -> None:
    """The first words are slow with most engines: spoken here, nobody waits for them."""
    voice, languages = next(iter(engine.voices.items()))
    for part in engine.speak(WARM_UP_TEXT, voice, languages[0] if languages else None, 1.0):
        as_samples(part)


def _report(sink: int, error: Exception) -> None:
    """Say what went wrong."""
    _write(sink, json_frame(Kind.ERROR, said_of(error)))


def _write(sink: int, *data: bytes | memoryview) -> None:
    """All of it, with one system call where the pipe has room."""
    left = [memoryview(piece) for piece in data]
    try:
        while left:
            written = os.writev(sink, left)
            while left and written >= len(left[0]):
                written -= len(left.pop(0))
            if left:
                left[0] = left[0][written:]
    except BrokenPipeError:
        _exit()


class CancellationReader:
    """Hears, while the main thread speaks, that nobody listens to that any more."""

    def __init__(self, source: int) -> None:
        self.cancel: Callable[[], None] | None = None
        """The engine's own way to stop early, if it has one."""
        self._source = source
        self._first, self._last = 0, 0
        """Numbers of the utterances that were begun last: more than one are a batch."""
        self._cancelled: set[int] = set()
        self._speaking = False
        self._turning = threading.Lock()
        """Held from one utterance to the next: a late cancellation must not meet the wrong one."""

    @property
    def gone(self) -> bool:
        """Whether nobody listens to what is under way, of a batch to none of it."""
        return self._cancelled.issuperset(range(self._first, self._last + 1))

    def is_gone(self, member: int) -> bool:
        """Whether nobody listens to this utterance of the batch under way."""
        return self._first + member in self._cancelled

    def begins(self, size: int = 1) -> None:
        """The next utterance, or the next batch."""
        with self._turning:
            self._first, self._last = self._last + 1, self._last + size
            self._cancelled = {number for number in self._cancelled if number >= self._first}
            self._speaking = True

    def ends(self) -> None:
        """The engine has nothing to stop now."""
        with self._turning:
            self._speaking = False

    def listen(self) -> NoReturn:
        """Until the pipe ends, which ends the process."""
        received = b""
        while data := os.read(self._source, READ_BYTES):
            received += data
            while len(received) >= NUMBER_BYTES:
                self.gone_from(cancelled_number(received[:NUMBER_BYTES]))
                received = received[NUMBER_BYTES:]
        _exit()

    def gone_from(self, number: int) -> None:
        """Nobody listens to utterance `number`, whether it is over, under way or still to come."""
        with self._turning:
            self._cancelled.add(number)
            if self._speaking and self.gone and self.cancel is not None:
                self.cancel()


def _exit() -> NoReturn:
    # Not sys.exit: the main thread may be deep inside an engine, and what it computes has no listener any more.
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # with the processes that the engine has started
    os._exit(0)


def _claim_pipes() -> tuple[int, int]:
    """The two ends of the protocol; whatever an engine reads or prints meets /dev/null and stderr instead."""
    source, sink = os.dup(0), os.dup(1)
    if sys.platform == "linux":
        with suppress(OSError):  # refused where a user's pipes hold too much already: slower, no less right
            fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return source, sink


def _die_with_parent() -> None:
    """Linux kills this process with its parent, even while an engine holds the interpreter's lock."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the parent's to answer
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
