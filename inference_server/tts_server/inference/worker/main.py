"""Hosts one engine in a process that may be killed: `python -m tts_server.inference.worker.main espeak 5 0 7 {} null`.

Arguments: the engine's name; the descriptor of the pipe with cancellations; the batch size at which an engine that can
batch is measured, not below 2; the descriptor of the shared memory (`shared_buffer.py`), -1 for none; the
keyword arguments of the engine's constructor, as JSON; the languages whose numbers are written in words before the
engine gets them, as JSON, null for those that the engine asks for.

Frames (`frames.py`) arrive on stdin and leave on stdout. The main thread reads them and runs the engine, a second
thread receives cancellations. The module imports little on purpose: a crashed engine is back within a fraction of a
second.
"""

import faulthandler
import fcntl
import json
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from tts_server.engines.protocol import WARM_UP_TEXT, AudioSamples, Engine
from tts_server.engines.registry import engine_factory
from tts_server.inference.wire.errors import error_content
from tts_server.inference.wire.frames import (
    AUDIO_BYTES,
    PIPE_BYTES,
    Kind,
    Unpacker,
    frame,
    header,
    json_content,
    json_frame,
    shared_frame,
)
from tts_server.inference.wire.shared_buffer import SharedBufferWriter
from tts_server.inference.worker.batches import batching, measure, run_batch
from tts_server.inference.worker.cancellation import READ_BYTES, CancellationReader
from tts_server.inference.worker.lifetime import die_with_parent, exit_worker
from tts_server.inference.worker.normalization import Normalization
from tts_server.malloc_tuning import give_back_freed_memory, keep_freed_memory
from tts_server.samples import as_samples

_DONE = frame(Kind.DONE)
IDLE_SECONDS = 1
"""Wait after which a worker returns its free memory to the system: a millisecond's work."""


def main(arguments: list[str]) -> int:
    """Serve until stdin ends. Returns the exit code: 0 then, 1 if the engine cannot load."""
    die_with_parent()
    faulthandler.enable()
    keep_freed_memory()
    name, cancelled, batch_size, shared, options, languages = arguments
    return serve(
        lambda: engine_factory(name)(**json.loads(options)),
        int(cancelled),
        int(batch_size),
        int(shared),
        json.loads(languages),
    )


def serve(
    load: Callable[[], Engine | Exception],
    cancelled: int,
    batch_size: int,
    shared_memory: int,
    normalized_languages: Sequence[str] | None,
) -> int:
    """Serve the engine that `load` returns, or report the exception that it returns or raises; see `main`."""
    source, sink = _claim_pipes()
    shared = SharedBufferWriter(shared_memory)
    cancellations = CancellationReader(cancelled)
    threading.Thread(target=cancellations.run, daemon=True).start()
    try:
        engine = _loaded(load())
        cancellations.cancel_engine = getattr(engine, "cancel", None)
        normalization = Normalization(engine, normalized_languages, lambda: _write(sink, _unread([])))
        voices = {name: list(languages) for name, languages in engine.voices.items()}
        real_time_factor = warm_up(engine)
        features = _passage_feature(engine) | _pause_feature(engine) | _voice_feature(engine)
        features |= _batch_feature(engine, batch_size)
    except Exception as error:
        _report(sink, error)
        return 1
    ready = {"sample_rate_hz": engine.sample_rate_hz, "voices": voices, "real_time_factor": real_time_factor} | features
    _write(sink, json_frame(Kind.READY, ready))
    for kind, wanted in _requests(source):
        utterances = wanted["utterances"] if kind is Kind.BATCH else [wanted]
        if reasons := [reason for utterance in utterances for reason in normalization.rewrite(utterance)]:
            _write(sink, _unread(reasons))
        if kind is Kind.BATCH:
            _serve_batch(engine, wanted["utterances"], cancellations, sink)
        else:
            cancellations.begin()
            shared.switch_half()
            _serve(engine, wanted, cancellations, sink, shared)
    return 0


def warm_up(engine: Engine) -> float:
    """Synthesize once: the first utterance is slow with most engines, and no request should wait for it.

    Returns the seconds that it took for a second of audio; 0 without audio.
    """
    voice, languages = next(iter(engine.voices.items()))
    begun, samples = time.monotonic(), 0
    for part in engine.speak(WARM_UP_TEXT, voice, languages[0] if languages else None, 1.0):
        samples += as_samples(part).size
    return (time.monotonic() - begun) * engine.sample_rate_hz / samples if samples else 0.0


def _loaded(engine: Engine | Exception) -> Engine:
    if isinstance(engine, Exception):
        raise engine
    return engine


def _requests(source: int) -> Iterator[tuple[Kind, Any]]:
    unpacker = Unpacker()
    while data := _read(source):
        for kind, payload in unpacker.feed(data):
            yield kind, json_content(payload)
    exit_worker()


def _read(source: int) -> bytes:
    """Read what has come, or wait for it; a process that waits long keeps no free memory."""
    waiting = select.poll()
    waiting.register(source, select.POLLIN)
    if not waiting.poll(IDLE_SECONDS * 1000):
        give_back_freed_memory()
    return os.read(source, READ_BYTES)


def _passage_feature(engine: Engine) -> dict[str, object]:
    characters = getattr(engine, "passage_characters", None)
    return {} if characters is None else {"passage_characters": int(characters)}


def _pause_feature(engine: Engine) -> dict[str, object]:
    scales = getattr(engine, "pause_scales", {})
    return {"pause_scales": [[float(speed), float(scale)] for speed, scale in scales.items()]} if scales else {}


def _voice_feature(engine: Engine) -> dict[str, object]:
    genders = dict(getattr(engine, "voice_genders", {}))
    feature: dict[str, object] = {"voice_genders": genders} if genders else {}
    return feature | ({"blends_voices": True} if getattr(engine, "blends_voices", False) else {})


def _batch_feature(engine: Engine, size: int) -> dict[str, object]:
    batching_engine = batching(engine)
    if batching_engine is None:
        return {}
    groups = dict(getattr(engine, "voice_groups", {}))
    return {"voice_groups": groups, "batch": measure(batching_engine, size) if size > 1 else None}


def _serve_batch(engine: Engine, wanted: list[dict[str, Any]], cancellations: CancellationReader, sink: int) -> None:
    cancellations.begin(len(wanted))
    batching_engine = batching(engine)
    assert batching_engine is not None  # noqa: S101 - the parent sends batches only to engines that can
    try:
        for message in run_batch(batching_engine, wanted, cancellations.is_cancelled):
            _write(sink, *message)
    finally:
        cancellations.end()


def _serve(
    engine: Engine, wanted: dict[str, Any], cancellations: CancellationReader, sink: int, shared: SharedBufferWriter
) -> None:
    end = b""
    try:
        parts: Iterable[AudioSamples] = ()
        if not cancellations.all_cancelled:  # it may have been cancelled while it was queued
            parts = engine.speak(wanted["text"], wanted["voice"], wanted["language"], wanted["speed"])
        if isinstance(parts, list):  # all there is, and so one message with its end
            if not cancellations.all_cancelled:
                _write(sink, *(piece for part in parts for piece in _pieces(part, shared)), _DONE)
                end = _DONE
        else:
            for part in parts:
                if cancellations.all_cancelled:
                    _close(parts)
                    break
                _write(sink, *_pieces(part, shared))
    except Exception as error:
        cancellations.end()
        _report(sink, error)
    else:
        cancellations.end()
        if not end:
            _write(sink, _DONE)


def _pieces(part: AudioSamples, shared: SharedBufferWriter) -> Iterator[bytes | memoryview]:
    """Yield the frames of a part, with as few copies as possible."""
    samples = as_samples(part)
    if samples.size == 0:
        return
    if (place := shared.write(samples)) is not None:
        yield shared_frame(*place)
        return
    data = np.ascontiguousarray(samples, "<i2").data.cast("B")
    for start in range(0, len(data), AUDIO_BYTES):
        piece = data[start : start + AUDIO_BYTES]
        yield header(Kind.AUDIO, len(piece))
        yield piece


def _close(parts: Iterable[AudioSamples]) -> None:
    close = getattr(parts, "close", None)
    if close is not None:
        close()


def _unread(reasons: list[str]) -> bytes:
    return json_frame(Kind.UNREAD, {"reasons": reasons})


def _report(sink: int, error: Exception) -> None:
    _write(sink, json_frame(Kind.ERROR, error_content(error)))


def _write(sink: int, *data: bytes | memoryview) -> None:
    """Write all of it, with one system call if the pipe has room."""
    unwritten = [memoryview(piece) for piece in data]
    try:
        while unwritten:
            written = os.writev(sink, unwritten)
            while unwritten and written >= len(unwritten[0]):
                written -= len(unwritten.pop(0))
            if unwritten:
                unwritten[0] = unwritten[0][written:]
    except BrokenPipeError:
        exit_worker()


def _claim_pipes() -> tuple[int, int]:
    """Move the protocol's pipes away from stdin and stdout: an engine reads /dev/null there and prints to stderr."""
    source, sink = os.dup(0), os.dup(1)
    if sys.platform == "linux":
        with suppress(OSError):  # refused to a user whose pipes are large already: slower, but correct
            fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return source, sink


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
