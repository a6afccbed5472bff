"""Hosts one engine in a process that may be killed: `python -m tts_server.engines.worker espeak 5`.

Frames (`frames.py`) come on stdin and leave on stdout; on the file descriptor that is named come cancellations. The
main thread reads and speaks, a second one listens for those, and for the end of their pipe. It imports little on
purpose: a crashed engine is back within a fraction of a second.
"""

import ctypes
import faulthandler
import fcntl
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, NoReturn

import numpy as np

from tts_server.engines.allocation import keep_freed_memory
from tts_server.engines.frames import (
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
)
from tts_server.engines.protocol import WARM_UP_TEXT, Engine, Sound
from tts_server.engines.registry import engine_factory
from tts_server.errors import EngineError, EngineGarbage, EngineUnavailable
from tts_server.samples import as_samples

PR_SET_PDEATHSIG = 1
READ_BYTES = 65_536

_KINDS = {EngineUnavailable: "unavailable", EngineGarbage: "garbage"}
"""What an ERROR frame calls them; every other error is an "error"."""
_DONE = frame(Kind.DONE)


def main(arguments: list[str]) -> int:
    """Serve until stdin ends. The exit code is 0 then, 1 when the engine does not load."""
    _die_with_parent()
    faulthandler.enable()
    keep_freed_memory()
    source, sink = _claim_pipes()
    listener = Listener(int(arguments[1]))
    threading.Thread(target=listener.listen, daemon=True).start()
    try:
        engine = engine_factory(arguments[0])()
        listener.cancel = getattr(engine, "cancel", None)
        voices = {name: list(languages) for name, languages in engine.voices.items()}
        _warm_up(engine)
    except Exception as error:
        _report(sink, error)
        return 1
    _write(sink, json_frame(Kind.READY, {"sample_rate_hz": engine.sample_rate_hz, "voices": voices}))
    for wanted in _utterances(source):
        listener.begins()
        _serve(engine, wanted, listener, sink)
    return 0


def _utterances(source: int) -> Iterator[dict[str, Any]]:
    unpacker = Unpacker()
    while data := os.read(source, READ_BYTES):
        for _, payload in unpacker.feed(data):
            yield content_of(payload)
    _exit()


def _serve(engine: Engine, wanted: dict[str, Any], listener: "Listener", sink: int) -> None:
    end = b""
    try:
        parts = engine.speak(wanted["text"], wanted["voice"], wanted["language"], wanted["speed"])
        if isinstance(parts, list):  # all there is, and so one message with its end
            if not listener.gone:
                _write(sink, *(piece for part in parts for piece in _pieces(part)), _DONE)
                end = _DONE
        else:
            for part in parts:
                if listener.gone:
                    _close(parts)
                    break
                _write(sink, *_pieces(part))
    except Exception as error:
        listener.ends()
        _report(sink, error)
    else:
        listener.ends()
        if not end:
            _write(sink, _DONE)


def _pieces(part: Sound) -> Iterator[bytes | memoryview]:
    """Frames with the sound, as little copied as can be."""
    samples = np.ascontiguousarray(as_samples(part), "<i2")
    data = samples.data.cast("B") if samples.size else memoryview(b"")
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
    """Say what went wrong. Only messages that an engine wrote for it travel: others may carry a caller's text."""
    if isinstance(error, EngineError):
        kind = next((name for kind, name in _KINDS.items() if isinstance(error, kind)), "error")
        message = error.message
    else:
        traceback.print_exc()
        kind, message = "error", f"The engine raised {type(error).__name__}."
    _write(sink, json_frame(Kind.ERROR, {"kind": kind, "message": message}))


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


class Listener:
    """Hears, while the main thread speaks, that nobody listens to that any more."""

    def __init__(self, source: int) -> None:
        self.cancel: Callable[[], None] | None = None
        """The engine's own way to stop early, if it has one."""
        self._source = source
        self._number = 0
        """Of the utterance that was begun last."""
        self._cancelled = 0
        self._speaking = False
        self._turning = threading.Lock()
        """Held from one utterance to the next: a late cancellation must not meet the wrong one."""

    @property
    def gone(self) -> bool:
        """Whether nobody listens to the utterance under way."""
        return self._cancelled >= self._number

    def begins(self) -> None:
        """The next utterance."""
        with self._turning:
            self._number += 1
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
            self._cancelled = number
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
