"""Engines for tests that synthesize several utterances in one pass. `size_of` reads the pass from the samples."""

import ctypes
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from tts_server.engines.protocol import BatchPart, Sound, Voices, Words
from tts_server.errors import EngineError

PASS_SECONDS = 0.02
"""Duration of a pass, whatever is in it."""
STEP = 1000
PART = 160
"""Samples for each character."""


def sound(size: int) -> Sound:
    """A part that says how many were in the pass."""
    return np.full(PART, size * STEP, np.int16)


def size_of(samples: Sound) -> int:
    """Read the size of the pass that synthesized these samples."""
    assert samples.size
    assert samples.min() == samples.max(), "one pass spoke all of it"
    return int(samples[0]) // STEP


class BatchingEngine:
    """A pass of eight takes as long as one of one."""

    sample_rate_hz = 16_000
    voices: Voices = {"ann": ("en",), "bob": ("en",), "cid": ("de",)}
    voice_groups: Mapping[str, str] = {"cid": "other weights"}
    max_batch_size = 8

    def speak(self, text: str, voice: str, language: str | None, speed: float) -> Iterator[Sound]:
        for _, part in self.speak_batch([Words(text, voice, language, speed)]):
            if isinstance(part, Exception):
                raise part
            if part is not None:
                yield part

    def speak_batch(self, wanted: Sequence[Words]) -> Iterable[BatchPart]:
        # Character by character, like a model that yields frames: shorter texts end first.
        if len({self.voice_groups.get(words.voice) for words in wanted}) > 1:
            raise ValueError("these voices have not the same weights")
        time.sleep(self.pass_seconds(len(wanted)))
        texts = {index: words.text for index, words in enumerate(wanted)}
        for step in range(1 + max(map(len, texts.values()))):
            for index, text in list(texts.items()):
                if text.startswith(("slow", "endless")):
                    time.sleep(0.005)
                if step >= len(text) and not text.startswith("endless"):
                    del texts[index]
                    yield index, None
                    continue
                yield from self._says(index, text, step, len(wanted))
        while any(text.startswith("endless") for text in texts.values()):
            time.sleep(0.005)
            for index, text in texts.items():
                if text.startswith("endless"):
                    yield index, sound(len(wanted))

    def pass_seconds(self, size: int) -> float:
        del size
        return PASS_SECONDS

    def _says(self, index: int, text: str, step: int, size: int) -> Iterator[BatchPart]:
        if text == "crash":
            ctypes.string_at(0)
        if text == "raise":
            raise ValueError("the caller said: secret words")
        if text == "hang":
            time.sleep(3600)
        if text == "refuse" and step == 0:
            yield index, EngineError("It does not say that.")
        elif text == "nan" and step == 0:
            yield index, np.full(PART, np.nan, np.float32)
        elif text not in {"refuse", "nan"}:
            yield index, sound(size)


class SequentialEngine(BatchingEngine):
    """Synthesizes one after the other: a pass of eight takes as long as eight passes."""

    def pass_seconds(self, size: int) -> float:
        return size * PASS_SECONDS


class FailingBatchEngine(BatchingEngine):
    """Offers batches, and fails on each of more than one."""

    def speak_batch(self, wanted: Sequence[Words]) -> Iterable[BatchPart]:
        if len(wanted) > 1:
            raise RuntimeError("no memory for so many")
        return super().speak_batch(wanted)


TOKENS_PER_PART = 4
"""Steps of an `AutoregressiveEngine` before the first part, and between two."""
STEP_SECONDS, TOKEN_SECONDS = 0.004, 0.0002
"""Time of a step: to read the weights, and for each text in it."""


def steps_of(samples: Sound) -> list[int]:
    """Read the number of the step that ended each part of an `AutoregressiveEngine`."""
    return [int(part[0]) for part in samples.reshape(-1, PART)]


class AutoregressiveEngine:
    """The shape of CosyVoice's and IndexTTS's language models: each step makes one token of every text of the batch.

    A step reads all weights once, which takes most of its time, whatever is in it. A text has a token per character,
    and ends in the step of its last one. A text with `!` fails at this token.
    """

    sample_rate_hz = 16_000
    voices: Voices = {"ann": ("en",)}
    max_batch_size = 8

    def __init__(self) -> None:
        self.steps = 0

    def speak(self, text: str, voice: str, language: str | None, speed: float) -> Iterator[Sound]:
        for _, part in self.speak_batch([Words(text, voice, language, speed)]):
            if isinstance(part, Exception):
                raise part
            if part is not None:
                yield part

    def speak_batch(self, wanted: Sequence[Words]) -> Iterable[BatchPart]:
        texts = {index: words.text for index, words in enumerate(wanted)}
        token = 0
        while texts:
            time.sleep(STEP_SECONDS + TOKEN_SECONDS * len(texts))
            self.steps += 1
            token += 1
            for index, text in list(texts.items()):
                if text[token - 1] == "!":
                    del texts[index]
                    yield index, EngineError("It has no token for that.")
                    continue
                if token % TOKENS_PER_PART == 0 or token == len(text):
                    yield index, np.full(PART, self.steps, np.int16)
                if token == len(text):
                    del texts[index]
                    yield index, None
