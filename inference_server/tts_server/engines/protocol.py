"""The interface of an engine: the one class to write for a new one. It runs inside a worker process."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tts_server.errors import EngineError

AudioSamples = NDArray[np.float32] | NDArray[np.int16]
"""Mono samples of shape (samples,): float32 in [-1, 1], or int16 with 32767 for 1.0, which saves a conversion."""

Sound = AudioSamples  # the name that engines written for earlier versions import

Voices = Mapping[str, tuple[str, ...]]
"""Voice names with the BCP 47 tags of the languages that each speaks, its best language first."""


@dataclass(frozen=True, slots=True)
class VoiceFeatures:
    """An engine's facts about its voices besides their names and languages; most engines state none."""

    genders: Mapping[str, str] = field(default_factory=dict)
    """Voice names with `female` or `male`, as far as it is known."""
    blends: bool = False
    """Whether `speak` takes blends of voices, see `voice_blend`."""


WARM_UP_TEXT = "1"
"""Text that every engine can synthesize in every language: used to warm up, and to check that audio is not silent."""


class Engine(Protocol):
    """Synthesizes one segment of text at a time. It may block, and it may be killed at any time.

    Constructing it loads it; raises `EngineUnavailable` with what to install if it cannot load.
    """

    @property
    def sample_rate_hz(self) -> int:
        """Rate of the samples that `speak` yields; it never changes."""

    @property
    def voices(self) -> Voices:
        """All voices of the engine."""

    def speak(self, text: str, voice: str, language: str | None, speed: float) -> Iterable[AudioSamples]:
        """Yield the audio of `text`, each part as soon as it exists; a list if all of it exists at once.

        `text` is data, whatever it looks like. `language` (BCP 47, None for the voice's own) matters only to voices of
        several languages. `speed` is 1.0 for the voice's own pace and 2.0 for half the duration; the server accepts
        0.25 to 4.0. The caller closes the iterator to cancel: stop then. Raises `EngineError`.

        An engine that is many times faster than playback may also have `passage_characters`: how many characters of an
        alphabet, in several sentences, it is given at once, even at the beginning of a reply. Other requests wait
        meanwhile. By default a call gets no more text than all earlier calls of the reply, and at most 240 characters.

        An engine may have `pause_scales`, a mapping from speeds to the length of the pauses that it makes inside a
        text, relative to speed 1.0: pauses between two calls follow it. By default pauses shorten as words do.

        An engine may have `normalized_languages`, a tuple of `en` and `zh`: numbers, dates, money and units in texts of
        these languages are written in words before it gets them. By default it gets them as they are.

        An engine may have `voice_genders`, a mapping of voices to `female` or `male`. If its `blends_voices` is true,
        `voice` may also be the name of a blend, such as `af_bella(0.6667)+af_sky(0.3333)`: its weights add up to 1, and
        its language is that of its first voice.

        An engine that computes for long between two parts may also have a method `cancel()`: it is called from another
        thread, while `speak` runs, when the audio is no longer needed.
        """


class BatchUtterance(NamedTuple):
    """The arguments of `Engine.speak` for one utterance of a batch."""

    text: str
    voice: str
    language: str | None
    speed: float


Words = BatchUtterance  # the name that engines written for earlier versions import

BatchPart = tuple[int, AudioSamples | EngineError | None]
"""The index of an utterance in its batch with a part of its audio, or with its failure, or with None at its end."""


@runtime_checkable
class BatchingEngine(Engine, Protocol):
    """An engine that can synthesize several utterances in one pass. Batches are used if they measure faster at start.

    It is for models that generate step by step, such as CosyVoice and IndexTTS, whose steps read all weights for each
    text. No family of engine Onnx gains enough: docs/decisions/0049-engine-onnx.md.

    It may also have `voice_groups`, a mapping of voices to group names: only voices of one group share a batch. Voices
    that are not in it form one more group; without it, all voices share batches.
    """

    @property
    def max_batch_size(self) -> int:
        """Most utterances that `speak_batch` takes."""

    def speak_batch(self, wanted: Sequence[BatchUtterance]) -> Iterable[BatchPart]:
        """Yield the audio of all utterances, in any order, each part as soon as it exists.

        Yield the end of an utterance as soon as it is reached: its client has all of the audio then. An utterance that
        fails yields its `EngineError` and the others continue; an exception fails all that have not ended, and each of
        them is synthesized again alone. The caller closes the iterator to cancel the batch; `cancel()` is called too.
        """


EngineFactory = Callable[..., Engine]
"""The object that an entry point of the group `ttsfleet.engines` names: usually the engine's class.

It is called with the engine's options of `server.json` as keyword arguments: none for most engines.
"""
