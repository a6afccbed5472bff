"""What an engine is: the one class to write for a new one. It runs inside a worker process (`worker.py`)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tts_server.errors import EngineError

Sound = NDArray[np.float32] | NDArray[np.int16]
"""Mono, of shape (samples,): floats in [-1, 1], or 16 bit of which 32767 is 1.0, which is not converted any more."""

Voices = Mapping[str, tuple[str, ...]]
"""Each voice's name with the BCP 47 tags of the languages it speaks, the best first."""

WARM_UP_TEXT = "1"
"""Every engine can say it, whatever its language: spoken before it serves, and to hear whether it still sounds."""


class Engine(Protocol):
    """Turns one segment of text into sound. It may block, and it may be killed at any time.

    Constructing one loads it; what cannot load raises `EngineUnavailable` with what to install.
    """

    @property
    def sample_rate_hz(self) -> int:
        """What `speak` yields; it never changes."""

    @property
    def voices(self) -> Voices:
        """Every voice it has."""

    def speak(self, text: str, voice: str, language: str | None, speed: float) -> Iterable[Sound]:
        """Yield `text` as sound, each part as soon as it exists; a list where all of it exists at once.

        `text` is data, whatever it looks like. `language` (BCP 47, None: the voice's own) matters only to voices of
        several languages. `speed` is 1.0 for the voice's own pace, 2.0 for half the duration; the server accepts
        0.25 to 4.0. The caller closes the iterator to cancel: stop then. Raises `EngineError`.

        An engine that is many times faster than its listeners may also have `passage_characters`: how much text of an
        alphabet, of several sentences, it takes at once, however little was said before. Whoever comes meanwhile waits
        for that. By default it is asked for no more than was said already, and for 240 characters at most.

        An engine that computes long between two parts may also have a method `cancel()`: it is called from another
        thread, while `speak` runs, when nobody listens any more.
        """


class Words(NamedTuple):
    """What `Engine.speak` takes, of one utterance of a batch."""

    text: str
    voice: str
    language: str | None
    speed: float


BatchPart = tuple[int, Sound | EngineError | None]
"""The index of an utterance in its batch with a part of its sound, or why it failed, or None: all of it was said."""


@runtime_checkable
class BatchingEngine(Engine, Protocol):
    """An engine that can speak several utterances in one pass. It is used where that is quicker, measured at its start.

    It may also have `voice_groups`, a mapping of voices to names: only voices of one group share a batch. Voices that
    are not in it are a group of their own; without it, all voices go together.
    """

    @property
    def max_batch_size(self) -> int:
        """Most utterances that `speak_batch` takes."""

    def speak_batch(self, wanted: Sequence[Words]) -> Iterable[BatchPart]:
        """Yield the sound of all of `wanted`, of any of them in any order, each part as soon as it exists.

        One that ends before others should say so at once: its caller has all of it then.
        One that fails yields its `EngineError` and the others go on; what is raised fails all that have not ended, and
        each is spoken again alone. The caller closes the iterator to cancel all of it; `cancel()` is called too.
        """


EngineFactory = Callable[[], Engine]
"""What an entry point of the group `ttsfleet.engines` names: usually the engine's class."""
