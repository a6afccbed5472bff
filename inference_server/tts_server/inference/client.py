"""The interface through which the pipeline has text synthesized: the same for local workers and for other pools."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Protocol

from tts_server.engines.protocol import VoiceFeatures, Voices
from tts_server.errors import TTSError
from tts_server.samples import Samples
from tts_server.scheduling.fair_queue import Priority, SchedulingParams

__all__ = ["EngineClient", "Samples", "Utterance", "VoiceFeatures", "Voices"]


@dataclass(frozen=True, slots=True)
class Utterance:
    """One segment to synthesize, with everything that changes its audio."""

    text: str
    voice: str
    language: str | None = None
    """BCP 47; None for the voice's own language."""
    speed: float = 1.0
    precision: str = "fp32"


class EngineClient(Protocol):
    """Synthesizes utterances with one engine: as many at a time as it has workers; the others are queued."""

    @property
    def sample_rate_hz(self) -> int:
        """Rate of the samples that `speak` yields. Known once `start` has returned."""

    @property
    def voices(self) -> Voices:
        """Voices that the engine lists; empty if it cannot. Known once `start` has returned."""

    @property
    def voice_features(self) -> VoiceFeatures:
        """Genders and blends, as far as the engine states them. Known once `start` has returned."""

    @property
    def passage_characters(self) -> int:
        """Characters that the engine takes at once, see `Engine`; 0 if it does not say. Known after `start`."""

    @property
    def real_time_factor(self) -> float:
        """Measured seconds of one worker's time for a second of audio, as it is now; 0 if it is not known.

        It is not for an engine whose queue is elsewhere.
        """

    @property
    def pause_scales(self) -> Mapping[float, float]:
        """Length of pauses by speed, see `Engine`; empty if the engine does not say. Known after an utterance."""

    @property
    def ready(self) -> bool:
        """Whether the engine is loaded, busy or not: false before `start`, in a crash loop, and while it loads long."""

    async def start(self) -> None:
        """Load and warm up. Raises `EngineError` if that fails; nothing is left running then."""

    def speak(self, utterance: Utterance, params: SchedulingParams = ...) -> AsyncGenerator[Samples]:
        """Yield mono int16 samples, each part as soon as it is synthesized; no part is empty.

        `params` orders the queue. Raises `Overloaded` if the wait would exceed what they allow, or does. Raises
        `EngineNotReady` if no worker is loaded, at the latest after the first-audio timeout.

        Nothing happens before the first `__anext__`. `aclose()` stops the engine at its next part; a worker that does
        not stop within two seconds is killed. Raises `EngineTimeout` if no first audio comes in time, counted from
        when a worker is free, `EngineCrashed` if its process dies, and `InvalidAudio` for audio that cannot be the
        text: the worker is replaced then, before it synthesizes the next utterance.
        """

    def promote(self, reply: object) -> None:
        """Make the queued utterances of this reply (`SchedulingParams.reply`) interactive."""

    def refuse_waiting(self, error: TTSError, priority: Priority | None = None) -> None:
        """Fail queued utterances with `error`: all of them, or those of one priority."""

    async def stop(self) -> None:
        """End every worker; running utterances raise `EngineCrashed`. Safe to call twice, and before `start`."""
