"""Hosts one engine in a process that may be killed: `python -m tts_server.engines.worker espeak`.

Frames (`frames.py`) come on stdin and leave on stdout. The main thread speaks, a second one listens for CANCEL and for
the end of stdin. It imports little on purpose: a crashed engine is back within a fraction of a second.
"""

import ctypes
import faulthandler
import fcntl
import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, BinaryIO, NoReturn

import numpy as np

from tts_server.engines.allocation import keep_freed_memory
from tts_server.engines.frames import AUDIO_BYTES, FULL_SCALE, HEADER_BYTES, Kind, frame, header, json_frame
from tts_server.engines.protocol import WARM_UP_TEXT, Engine, Samples
from tts_server.engines.registry import engine_factory
from tts_server.errors import EngineError, EngineGarbage, EngineUnavailable

PR_SET_PDEATHSIG = 1
PIPE_BYTES = 262_144
"""What the pipe to the parent holds: a sentence leaves in one go, and its process is free for the next."""

_KINDS = {EngineUnavailable: "unavailable", EngineGarbage: "garbage"}
"""What an ERROR frame calls them; every other error is an "error"."""


class Job:
    """One utterance, and whether its listener has gone."""

    def __init__(self, utterance: dict[str, Any]) -> None:
        self.utterance = utterance
        self.cancelled = threading.Event()


def main(arguments: list[str]) -> int:
    """Serve until stdin ends. The exit code is 0 then, 1 when the engine does not load."""
    _die_with_parent()
    faulthandler.enable()
    keep_freed_memory()
    source, sink = _claim_pipes()
    jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
    listener = Listener(source, jobs)
    threading.Thread(target=listener.listen, daemon=True).start()
    try:
        engine = engine_factory(arguments[0])()
        listener.cancel = getattr(engine, "cancel", None)
        voices = {name: list(languages) for name, languages in engine.voices.items()}
        _warm_up(engine)
    except Exception as error:
        _report(sink, error)
        return 1
    _send(sink, json_frame(Kind.READY, {"sample_rate_hz": engine.sample_rate_hz, "voices": voices}))
    while True:
        _serve(engine, jobs.get(), sink)


def _serve(engine: Engine, job: Job, sink: BinaryIO) -> None:
    wanted = job.utterance
    try:
        parts = engine.speak(wanted["text"], wanted["voice"], wanted["language"], wanted["speed"])
        for part in parts:
            if job.cancelled.is_set():
                _close(parts)
                break
            sink.writelines(frame(Kind.AUDIO, piece) for piece in _pieces(part))
            sink.flush()
    except Exception as error:
        _report(sink, error)
    else:
        _send(sink, frame(Kind.DONE))


def _pieces(part: Samples) -> Iterator[bytes]:
    if part.ndim != 1:
        raise EngineGarbage(f"The engine yielded samples of {part.ndim} dimensions; they must have one.")
    if part.size and not (part.min() >= -1.0 and part.max() <= 1.0):  # NaN is in no range
        if not np.isfinite(part).all():
            raise EngineGarbage("The engine yielded samples that are not numbers.")
        part = np.clip(part, -1.0, 1.0)
    data = np.rint(part * FULL_SCALE).astype("<i2").tobytes()
    for start in range(0, len(data), AUDIO_BYTES):
        yield data[start : start + AUDIO_BYTES]


def _close(parts: Iterator[Samples]) -> None:
    close = getattr(parts, "close", None)
    if close is not None:
        close()


def _warm_up(engine: Engine) -> None:
    """The first words are slow with most engines: spoken here, nobody waits for them."""
    voice, languages = next(iter(engine.voices.items()))
    for part in engine.speak(WARM_UP_TEXT, voice, languages[0] if languages else None, 1.0):
        for _ in _pieces(part):
            pass


def _report(sink: BinaryIO, error: Exception) -> None:
    """Say what went wrong. Only messages that an engine wrote for it travel: others may carry a caller's text."""
    if isinstance(error, EngineError):
        kind = next((name for kind, name in _KINDS.items() if isinstance(error, kind)), "error")
        message = error.message
    else:
        traceback.print_exc()
        kind, message = "error", f"The engine raised {type(error).__name__}."
    _send(sink, json_frame(Kind.ERROR, {"kind": kind, "message": message}))


def _send(sink: BinaryIO, data: bytes) -> None:
    try:
        sink.write(data)
        sink.flush()
    except BrokenPipeError:
        _exit()


class Listener:
    """Reads what the parent says, while the main thread speaks."""

    def __init__(self, source: BinaryIO, jobs: "queue.SimpleQueue[Job]") -> None:
        self.cancel: Callable[[], None] | None = None
        """The engine's own way to stop early, if it has one."""
        self._source = source
        self._jobs = jobs

    def listen(self) -> NoReturn:
        """Until stdin ends, which ends the process."""
        current: Job | None = None
        while True:
            kind, length = header(_exactly(self._source, HEADER_BYTES))
            payload = _exactly(self._source, length)
            if kind is Kind.SPEAK:
                current = Job(json.loads(payload))
                self._jobs.put(current)
            elif kind is Kind.CANCEL and current is not None:
                current.cancelled.set()
                if self.cancel is not None:
                    self.cancel()


def _exactly(source: BinaryIO, length: int) -> bytes:
    data = source.read(length)
    if len(data) < length:
        _exit()
    return data


def _exit() -> NoReturn:
    # Not sys.exit: the main thread may be deep inside an engine, and what it computes has no listener any more.
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # with the processes that the engine has started
    os._exit(0)


def _claim_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The two ends of the protocol; whatever an engine reads or prints meets /dev/null and stderr instead."""
    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb", PIPE_BYTES)
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
