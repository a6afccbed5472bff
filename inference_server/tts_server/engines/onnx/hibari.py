"""Family Hibari: small English voices distilled from Kokoro, from the package `hibari-tts` (Apache-2.0).

The graph yields spectra; the package turns English text into phonemes, and spectra into samples.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tts_server.engines.onnx.family import FloatSamples
from tts_server.engines.onnx.front_ends import languages
from tts_server.engines.onnx.initializers import Weights
from tts_server.engines.onnx.phoneme_pieces import pieces
from tts_server.engines.onnx.session import DEFAULT_OPTIONS, GraphSession, SessionOptions
from tts_server.engines.protocol import Voices
from tts_server.errors import EngineUnavailable

MAX_PHONEMES = 400
"""Longest piece that the voices were trained on, as the package has it."""
NOISE_SEED = 0
"""Seed of the noise in consonants and breath: the same text always sounds the same."""
LOUDNESS_GAIN = np.float32(2.06)
"""From -26.3 LUFS to the -20 of Kokoro's voices; `python -m hack.kokoro_gains` measures both."""


class Hibari:
    """One voice: the graph of a file, by default `heart`, which the package contains."""

    sample_rate_hz = 24_000
    speeds = (0.25, 1.5)
    """Beyond, more and more phonemes would be shorter than a frame, and durations would no longer follow the speed."""

    def __init__(
        self,
        model: Path | None = None,
        voice: str = "heart",
        *,
        session_options: SessionOptions = DEFAULT_OPTIONS,
        weights: Mapping[str, Weights] | None = None,
    ) -> None:
        """Load the graph `model`, with some of its `weights` replaced. Raises `EngineUnavailable`."""
        try:
            import hibari
        except ImportError as error:
            raise EngineUnavailable("The voice of hibari-tts is not installed. Install ttsfleet[server].") from error
        assets = Path(hibari.__file__).parent / "assets"
        self.session = GraphSession(model or assets / "hibari.onnx", ("ids", "speed"), session_options, weights)
        self.graph = model or assets / "hibari.onnx"
        self.voices: Voices = {voice: ("en-us", "en")}
        self._voice = voice
        self._ids: dict[str, int] = json.loads((assets / "vocab.json").read_text("utf-8"))

    def phonemes(self, text: str, voice: str, language: str | None) -> Sequence[str]:
        del voice, language  # one of each
        whole = languages.read_alone(text, "en-us")
        if not any(character.isalpha() for character in whole):  # punctuation would become a hum
            return ()
        return pieces(whole, MAX_PHONEMES)

    def render(self, phonemes: str, voice: str, speed: float) -> FloatSamples:
        del voice
        from hibari import dsp

        ids = [0, *(self._ids[phoneme] for phoneme in phonemes if phoneme in self._ids), 0]
        outputs = self.session.run({"ids": np.array([ids], np.int64), "speed": np.array([speed], np.float32)})
        samples: FloatSamples = LOUDNESS_GAIN * dsp.synth(
            *(output[0] for output in outputs), np.random.default_rng(NOISE_SEED)
        )
        return samples
