"""The worker's side of batches: runs several utterances at once and reports each to the parent."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tts_server.engines.protocol import WARM_UP_TEXT, AudioSamples, BatchingEngine, BatchUtterance, Engine
from tts_server.errors import EngineError
from tts_server.inference.wire.errors import error_content
from tts_server.inference.wire.frames import AUDIO_BYTES, Kind, frame, json_payload, member_frame
from tts_server.samples import as_samples

Message = list[bytes | memoryview]
"""Pieces of frames."""

ATTEMPTS = 2
"""Number of measurements of which the shortest counts: other load on the machine makes one longer."""


def batching(engine: Engine) -> BatchingEngine | None:
    """Return the engine if it can batch."""
    return engine if isinstance(engine, BatchingEngine) and engine.max_batch_size > 1 else None


def run_batch(
    engine: BatchingEngine, wanted: Sequence[dict[str, Any]], is_cancelled: Callable[[int], bool]
) -> Iterator[Message]:
    """Yield each utterance's audio, then its DONE or its ERROR; at last a DONE for all of them.

    An utterance that is cancelled before the engine begins is left out.
    """
    numbers = [number for number in range(len(wanted)) if not is_cancelled(number)]
    unfinished = set(range(len(wanted)))
    try:
        parts = engine.speak_batch([_utterance(wanted[number]) for number in numbers]) if numbers else iter(())
        for index, part in parts:
            if all(is_cancelled(number) for number in unfinished):
                break
            number = numbers[index]
            if number not in unfinished or is_cancelled(number):
                continue
            message, finished = _message(number, part)
            if finished:
                unfinished.discard(number)
            yield message
        if (close := getattr(parts, "close", None)) is not None:
            close()
    except Exception as error:
        content = json_payload(error_content(error))
        for number in sorted(unfinished):
            yield member_frame(Kind.ERROR, number, content)
    else:
        for number in sorted(unfinished):
            yield member_frame(Kind.DONE, number)
    yield [frame(Kind.DONE)]


def measure(engine: BatchingEngine, size: int) -> dict[str, object] | None:
    """Time a batch of up to `size`, and one utterance alone; None if a batch fails."""
    size = min(size, engine.max_batch_size)
    voice, languages = next(iter(engine.voices.items()))
    utterance = BatchUtterance(WARM_UP_TEXT, voice, languages[0] if languages else None, 1.0)

    def alone() -> None:
        for _ in engine.speak(*utterance):
            pass

    def batch() -> None:
        for _, part in engine.speak_batch([utterance] * size):
            if isinstance(part, Exception):
                raise part

    try:
        batch()  # the first of its size is slow with most engines
        return {"size": size, "single_seconds": _shortest_seconds(alone), "batch_seconds": _shortest_seconds(batch)}
    except Exception as error:
        error_content(error)  # logs it
        return None


def _shortest_seconds(work: Callable[[], None]) -> float:
    measured = []
    for _ in range(ATTEMPTS):
        begun = time.perf_counter()
        work()
        measured.append(time.perf_counter() - begun)
    return min(measured)


def _utterance(wanted: dict[str, Any]) -> BatchUtterance:
    return BatchUtterance(wanted["text"], wanted["voice"], wanted["language"], wanted["speed"])


def _message(number: int, part: AudioSamples | EngineError | None) -> tuple[Message, bool]:
    """Return the message for the parent, and whether it ends this utterance."""
    if part is None:
        return member_frame(Kind.DONE, number), True
    if not isinstance(part, Exception):
        try:
            return _audio(number, part), False
        except EngineError as error:
            part = error
    return member_frame(Kind.ERROR, number, json_payload(error_content(part))), True


def _audio(number: int, part: AudioSamples) -> Message:
    samples = np.ascontiguousarray(as_samples(part), "<i2")
    data = samples.data.cast("B") if samples.size else memoryview(b"")
    starts = range(0, len(data), AUDIO_BYTES)
    return [piece for start in starts for piece in member_frame(Kind.AUDIO, number, data[start : start + AUDIO_BYTES])]
