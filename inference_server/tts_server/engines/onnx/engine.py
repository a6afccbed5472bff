"""The Onnx engine: what all families share."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tts_server.engines.onnx import time_stretch
from tts_server.engines.onnx.family import Family, FloatSamples
from tts_server.engines.onnx.hibari import Hibari
from tts_server.engines.onnx.kokoro import Kokoro
from tts_server.engines.onnx.limiter import Limiter
from tts_server.engines.onnx.session import RunCancelled
from tts_server.engines.voice_blend import is_blend, parse_blend
from tts_server.errors import EngineError, EngineUnavailable

FAMILIES: Mapping[str, Callable[..., Family]] = {"Hibari": Hibari, "Kokoro": Kokoro}
SILENCE_SECONDS = 0.1
"""Audio of a text without a letter or digit, such as `...`."""


class Onnx:
    """Speaks with the graphs of one family on the CPU."""

    def __init__(self, family: str, files: Mapping[str, str] | None = None, **options: Any) -> None:
        """Load the graph. `files` are paths by the names that the family's constructor has for them."""
        try:
            make = FAMILIES[family]
        except KeyError:
            raise EngineUnavailable(f"Engine Onnx has no family {family}; it has {', '.join(FAMILIES)}.") from None
        self._family = make(**{name: Path(path) for name, path in (files or {}).items()}, **options)
        self.sample_rate_hz = self._family.sample_rate_hz
        self.voices = self._family.voices
        self.blends_voices: bool = getattr(self._family, "blends_voices", False)
        self.voice_genders: Mapping[str, str] = getattr(self._family, "voice_genders", {})

    def speak(self, text: str, voice: str, language: str | None, speed: float) -> Iterator[FloatSamples]:
        first = parse_blend(voice)[0].name if self.blends_voices and is_blend(voice) else voice
        if first not in self.voices:
            raise EngineError(f"Engine Onnx has no voice {first}.")
        self._family.session.begin()
        pieces = self._family.phonemes(text, voice, language)
        if not pieces:
            yield self._wordless(text, first)
        limiter = Limiter(self.sample_rate_hz)
        for number, piece in enumerate(pieces, start=1):
            try:
                samples = limiter.process(self._rendered(piece, voice, speed))
            except RunCancelled:
                return
            yield np.concatenate((samples, limiter.finish())) if number == len(pieces) else samples

    def cancel(self) -> None:
        self._family.session.cancel()

    def _rendered(self, piece: str, voice: str, speed: float) -> FloatSamples:
        slowest, fastest = self._family.speeds
        rendered_speed = min(max(speed, slowest), fastest)
        samples = self._family.render(piece, voice, rendered_speed)
        if speed > rendered_speed:
            samples = time_stretch.faster(samples, self.sample_rate_hz, speed / rendered_speed)
        return samples

    def _wordless(self, text: str, voice: str) -> FloatSamples:
        if any(character.isalnum() for character in text):
            languages = ", ".join(self.voices[voice])
            raise EngineError(f"Voice {voice} cannot read this text: it speaks {languages}.")
        return np.zeros(int(SILENCE_SECONDS * self.sample_rate_hz), np.float32)
