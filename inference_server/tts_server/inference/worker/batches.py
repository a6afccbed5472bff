"""A worker's part of batches: what an engine says of several utterances at once, as messages to the parent."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tts_server.engines.protocol import WARM_UP_TEXT, BatchingEngine, Engine, Sound, Words
from tts_server.errors import EngineError
from tts_server.inference.wire.errors import said_of
from tts_server.inference.wire.frames import AUDIO_BYTES, Kind, frame, json_payload, member_frame
from tts_server.samples import as_samples

Message = list[bytes | memoryview]
"""Pieces of frames."""

ATTEMPTS = 2
"""Of each measurement; the shorter one counts: whatever else ran on the machine made the other longer."""


def batching(engine: Engine) -> BatchingEngine | None:
    """The engine, if it can batch."""
    return engine if isinstance(engine, BatchingEngine) and engine.max_batch_size > 1 else None


def speak_together(
    engine: BatchingEngine, wanted: Sequence[dict[str, Any]], gone: Callable[[int], bool]
) -> Iterator[Message]:
    """Each member's sound, then its DONE or its ERROR; at last a DONE for all of them.

    `gone`: whether nobody listens to a member any more. One that is gone before the engine begins is not spoken at all.
    """
    numbers = [number for number in range(len(wanted)) if not gone(number)]
    left = set(range(len(wanted)))
    try:
        parts = engine.speak_batch([_words(wanted[number]) for number in numbers]) if numbers else iter(())
        for index, part in parts:
            if all(gone(number) for number in left):
                break
            number = numbers[index]
            if number not in left or gone(number):
                continue
            message, over = _message(number, part)
            if over:
                left.discard(number)
            yield message
        if (close := getattr(parts, "close", None)) is not None:
            close()
    except Exception as error:
        said = json_payload(said_of(error))
        for number in sorted(left):
            yield member_frame(Kind.ERROR, number, said)
    else:
        for number in sorted(left):
            yield member_frame(Kind.DONE, number)
    yield [frame(Kind.DONE)]


def measure(engine: BatchingEngine, size: int) -> dict[str, object] | None:
    """What a batch of up to `size` takes, and one utterance alone; None where batches fail."""
    size = min(size, engine.max_batch_size)
    voice, languages = next(iter(engine.voices.items()))
    words = Words(WARM_UP_TEXT, voice, languages[0] if languages else None, 1.0)

    def alone() -> None:
        for _ in engine.speak(*words):
            pass

    def batch() -> None:
        for _, part in engine.speak_batch([words] * size):
            if isinstance(part, Exception):
                raise part

    try:
        batch()  # the first of its size is slow with most engines
        return {"size": size, "single_seconds": _seconds(alone), "batch_seconds": _seconds(batch)}
    except Exception as error:
        said_of(error)
        return None


def _seconds(work: Callable[[], None]) -> float:
    found = []
    for _ in range(ATTEMPTS):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return min(found)


def _words(wanted: dict[str, Any]) -> Words:
    return Words(wanted["text"], wanted["voice"], wanted["language"], wanted["speed"])


def _message(number: int, part: Sound | EngineError | None) -> tuple[Message, bool]:
    """What the parent is told, and whether it is this member's end."""
    if part is None:
        return member_frame(Kind.DONE, number), True
    if not isinstance(part, Exception):
        try:
            return _sound(number, part), False
        except EngineError as error:
            part = error
    return member_frame(Kind.ERROR, number, json_payload(said_of(part))), True


def _sound(number: int, part: Sound) -> Message:
    samples = np.ascontiguousarray(as_samples(part), "<i2")
    data = samples.data.cast("B") if samples.size else memoryview(b"")
    starts = range(0, len(data), AUDIO_BYTES)
    return [piece for start in starts for piece in member_frame(Kind.AUDIO, number, data[start : start + AUDIO_BYTES])]
