"""The interface of a family: what differs between graphs of one architecture and those of another."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tts_server.engines.onnx.initializers import Weights
from tts_server.engines.onnx.session import GraphSession
from tts_server.engines.protocol import Voices

FloatSamples = NDArray[np.float32]
"""Mono samples of shape (samples,), 1.0 is full scale; a voice may exceed it."""


class Family(Protocol):
    """Graphs of one architecture: how text becomes their input, and their output becomes samples."""

    session: GraphSession
    graph: Path
    """The file that `session` has loaded."""

    @property
    def sample_rate_hz(self) -> int:
        """Rate of the samples that `render` returns."""

    @property
    def voices(self) -> Voices:
        """All voices, with their languages."""

    @property
    def speeds(self) -> tuple[float, float]:
        """The slowest and the fastest speed at which the graph still renders every sound."""

    def phonemes(self, text: str, voice: str, language: str | None) -> Sequence[str]:
        """Return what the graph reads of `text`, in pieces that it can take; none if there is no word to read."""

    def render(self, phonemes: str, voice: str, speed: float) -> FloatSamples:
        """Return the audio of one piece. The same piece always has the same audio."""


@runtime_checkable
class ReadingFamily(Family, Protocol):
    """A family whose text another process reads."""

    def end_reader(self) -> None:
        """End that process; the next text starts one again."""


@runtime_checkable
class StyledFamily(Family, Protocol):
    """A family whose voices are vectors: an adapter may bring another one."""

    def add_style(self, voice: str, base: str, style: Weights) -> None:
        """Offer `voice` with this style and the language of the voice `base`. Raises `EngineUnavailable`."""
