"""What the pipeline asks for sound, and how: local engine processes and other pools look the same from here."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from tts_server.engines.protocol import Voices
from tts_server.errors import TTSError
from tts_server.samples import Samples
from tts_server.scheduling.fair_queue import Priority, SchedulingParams

__all__ = ["EngineClient", "Samples", "Utterance", "Voices"]


@dataclass(frozen=True, slots=True)
class Utterance:
    """One segment to speak, with everything that changes its sound."""

    text: str
    voice: str
    language: str | None = None
    """BCP 47; None leaves it to the voice."""
    speed: float = 1.0
    precision: str = "fp32"


@runtime_checkable
class Queueing(Protocol):
    """A speaker that has its utterances wait here, in this process."""

    def refuse_waiting(self, error: TTSError, priority: Priority | None = None) -> None:
        """Whoever waits for an engine gets `error` at once: all of them, or those of one priority."""

    def promote(self, reply: object) -> None:
        """What waits of this reply (`SchedulingParams.reply`) is interactive from now on."""


class EngineClient(Protocol):
    """Speaks utterances, several at once: as many as it has processes; more of them wait their turn."""

    @property
    def sample_rate_hz(self) -> int:
        """Of the samples it yields; known once `start` has returned."""

    @property
    def voices(self) -> Voices:
        """Voices the engine says it has, known once `start` has returned; empty where nobody says."""

    @property
    def passage_characters(self) -> int:
        """What the engine takes at once, see `Engine`; 0 where nobody says. Known once `start` has returned."""

    @property
    def ready(self) -> bool:
        """True while an utterance would find an engine that is loaded, or busy: false before start, in a crash loop."""

    async def start(self) -> None:
        """Load and warm up. Raises `EngineError` when that fails; nothing is left running then."""

    def speak(self, utterance: Utterance, turn: SchedulingParams = ...) -> AsyncGenerator[Samples]:
        """Yield mono int16, each part as it is made; no part is empty.

        `turn` says who is first where several wait. Raises `Overloaded` where it would wait longer than that allows.

        Nothing happens before the first `__anext__`. `aclose()` stops the engine at its next part; one that does not
        stop within two seconds is killed. Raises `EngineTimeout` when no first audio comes in time, counted from when
        an engine is free for it, `EngineCrashed` when its process dies, `InvalidAudio` for what cannot be the text:
        the engine is made anew then, and the utterance after that is spoken again.
        """

    async def stop(self) -> None:
        """End every process; utterances under way raise `EngineCrashed`. Safe to call twice, and before `start`."""
