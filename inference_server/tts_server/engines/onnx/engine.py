"""The Onnx engine: what all families share."""

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tts_server.engines.limiter import Limiter
from tts_server.engines.onnx import time_stretch
from tts_server.engines.onnx.adapters import Adapter, folded_weights, load_adapter
from tts_server.engines.onnx.family import Family, FloatSamples, ReadingFamily, StyledFamily
from tts_server.engines.onnx.hibari import Hibari
from tts_server.engines.onnx.kokoro import Kokoro
from tts_server.engines.onnx.piper import Piper
from tts_server.engines.onnx.session import RunCancelled, SessionOptions
from tts_server.engines.protocol import Voices
from tts_server.engines.voice_blend import is_blend, parse_blend
from tts_server.errors import EngineError, EngineUnavailable, TextUnreadable

FAMILIES: Mapping[str, Callable[..., Family]] = {"Hibari": Hibari, "Kokoro": Kokoro, "Piper": Piper}
SILENCE_SECONDS = 0.1
"""Audio of a text without a letter or digit, such as `...`."""


class Onnx:
    """Speaks with the graphs of one family."""

    def __init__(
        self,
        family: str,
        files: Mapping[str, str] | None = None,
        session_options: Mapping[str, str] | None = None,
        adapters: Sequence[Mapping[str, Any]] = (),
        **options: Any,
    ) -> None:
        """Load the graph and its adapters. `files` are paths by the names of the family's parameters."""
        try:
            make = FAMILIES[family]
        except KeyError:
            raise EngineUnavailable(f"Engine Onnx has no family {family}; it has {', '.join(FAMILIES)}.") from None
        unknown = sorted(set(files or {}) - set(inspect.signature(make).parameters))
        if unknown:
            raise EngineUnavailable(f"Family {family} of engine Onnx has no files.{unknown[0]}.")
        arguments = {name: Path(path) for name, path in (files or {}).items()} | options
        if session_options is not None:
            arguments["session_options"] = SessionOptions(**session_options)
        self._family = make(**arguments)
        self.sample_rate_hz = self._family.sample_rate_hz
        self.blends_voices: bool = getattr(self._family, "blends_voices", False)
        self.voice_genders: Mapping[str, str] = getattr(self._family, "voice_genders", {})
        self._adapted: dict[str, tuple[Family, str]] = {}
        """Voices of adapters with weights of their own: their family, and the name that the voice has there."""
        added: dict[str, tuple[str, ...]] = {}
        for adapter in map(load_adapter, adapters):
            self._check_voices(adapter, added)
            changed = self._changed_family(adapter, make, arguments)
            for voice, base in adapter.voices.items():
                added[voice] = self._family.voices[base]
                if changed is not None:
                    self._adapted[voice] = changed, base
        self.voices: Voices = dict(self._family.voices) | added

    def _check_voices(self, adapter: Adapter, added: Collection[str]) -> None:
        for voice, base in adapter.voices.items():
            if base not in self._family.voices:
                raise EngineUnavailable(f"Adapter {adapter.name} adapts the voice {base}, which does not exist.")
            if voice in self._family.voices or voice in added:
                raise EngineUnavailable(f"Adapter {adapter.name} adds the voice {voice}, which exists already.")

    def _changed_family(
        self, adapter: Adapter, make: Callable[..., Family], arguments: Mapping[str, Any]
    ) -> Family | None:
        """Return the family with the adapter's weights; None for a style, which the one family then has."""
        if adapter.style is None:
            return make(**arguments, weights=folded_weights(adapter, self._family.graph))
        if not isinstance(self._family, StyledFamily):
            raise EngineUnavailable(f"Adapter {adapter.name} is a style; voices of this family have none.")
        for voice, base in adapter.voices.items():
            self._family.add_style(voice, base, adapter.style)
        return None

    def before_fork(self) -> None:
        """Leave nothing behind that two processes cannot share."""
        if isinstance(self._family, ReadingFamily):
            self._family.end_reader()

    def speak(self, text: str, voice: str, language: str | None, speed: float) -> Iterator[FloatSamples]:
        first = parse_blend(voice)[0].name if self.blends_voices and is_blend(voice) else voice
        if first not in self.voices:
            raise EngineError(f"Engine Onnx has no voice {first}.")
        family, name = self._adapted.get(voice, (self._family, voice))
        family.session.begin()
        pieces = family.phonemes(text, name, language)
        if not pieces:
            yield self._wordless(text, first)
        limiter = Limiter(self.sample_rate_hz)
        for number, piece in enumerate(pieces, start=1):
            try:
                samples = limiter.process(self._rendered(family, piece, name, speed))
            except RunCancelled:
                return
            yield np.concatenate((samples, limiter.finish())) if number == len(pieces) else samples

    def cancel(self) -> None:
        for family in (self._family, *(family for family, _ in self._adapted.values())):
            family.session.cancel()

    def _rendered(self, family: Family, piece: str, voice: str, speed: float) -> FloatSamples:
        slowest, fastest = family.speeds
        rendered_speed = min(max(speed, slowest), fastest)
        samples = family.render(piece, voice, rendered_speed)
        if speed > rendered_speed:
            samples = time_stretch.faster(samples, self.sample_rate_hz, speed / rendered_speed)
        return samples

    def _wordless(self, text: str, voice: str) -> FloatSamples:
        if any(character.isalnum() for character in text):
            languages = ", ".join(self.voices[voice])
            raise TextUnreadable(f"Voice {voice} cannot read this text: it speaks {languages}.")
        return np.zeros(int(SILENCE_SECONDS * self.sample_rate_hz), np.float32)
