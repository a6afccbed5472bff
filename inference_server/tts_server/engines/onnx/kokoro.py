"""Family Kokoro: Kokoro-82M v1.0 (Apache-2.0), 54 voices in nine languages, from a text's phonemes to samples.

The graph is Kokoro's with any precision of weights; `tts-install-kokoro` installs the published int8 one.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tts_server.config.builtin_files import KOKORO_MODEL, KOKORO_VOCABULARY, KOKORO_VOICES, kokoro_folder
from tts_server.engines.onnx.family import FloatSamples
from tts_server.engines.onnx.front_ends import espeak, languages
from tts_server.engines.onnx.initializers import Weights
from tts_server.engines.onnx.loudness import gain
from tts_server.engines.onnx.phoneme_pieces import pieces
from tts_server.engines.onnx.session import DEFAULT_OPTIONS, GraphSession, SessionOptions
from tts_server.engines.onnx.voice_vectors import VoiceVectors
from tts_server.engines.voice_blend import Blend, parse_blend
from tts_server.errors import EngineError, EngineUnavailable, TextUnreadable

MAX_PHONEMES = 510
"""The graph's positions without the two that end a text."""
PIECE_PHONEMES = 240
"""Longest piece given to the graph: memory and the wait for first audio grow with it, and double from here to 510."""
PADDING = 0
"""Token at both ends of a text."""
# A voice is named after its language and gender: af_bella, zm_yunxi.
_LANGUAGES: Mapping[str, tuple[str, ...]] = {
    "a": ("en-us", "en"), "b": ("en-gb", "en"), "z": ("zh",), "j": ("ja", "ko"), "e": ("es",), "f": ("fr",),
    "i": ("it",), "p": ("pt-br", "pt"), "h": ("hi",),
}  # fmt: skip
"""Languages by the first letter of a voice. No voice is Korean: the Japanese ones are understood best."""
_BEST = (
    "af_heart", "bf_emma", "zf_xiaoxiao", "jf_alpha", "ef_dora", "ff_siwis", "if_sara", "pf_dora", "hf_alpha"
)  # fmt: skip
"""The best voice of each language by upstream's grades: it is listed first, and so is the language's default."""
_GENDERS = {"f": "female", "m": "male"}
_CANTONESE = frozenset({"yue", "zh-yue"})


class Kokoro:
    """The graph with all voices whose languages can be read on this machine."""

    sample_rate_hz = 24_000
    speeds = (0.25, 1.5)
    blends_voices = True

    def __init__(
        self,
        model: Path | None = None,
        voices: Path | None = None,
        vocabulary: Path | None = None,
        *,
        session_options: SessionOptions = DEFAULT_OPTIONS,
        weights: Mapping[str, Weights] | None = None,
    ) -> None:
        """Load the graph and the names of voices; what is not given is what `tts-install-kokoro` has installed.

        Some `weights` of the graph may be replaced. Raises `EngineUnavailable`.
        """
        self._vectors = VoiceVectors(voices or _installed(KOKORO_VOICES))
        self._ids = _vocabulary(vocabulary or _installed(KOKORO_VOCABULARY))
        self.graph = model or _installed(KOKORO_MODEL)
        self.session = GraphSession(self.graph, ("tokens", "style", "speed"), session_options, weights)
        ordered = [*(voice for voice in _BEST if voice in self._vectors), *self._vectors]
        known = {voice: _LANGUAGES.get(voice[:1], _LANGUAGES["a"]) for voice in ordered}
        self.voices: dict[str, tuple[str, ...]] = {
            voice: tags for voice, tags in known.items() if not languages.missing(tags[0])
        }
        self.voice_genders = {voice: _GENDERS[voice[1]] for voice in self.voices if voice[1:2] in _GENDERS}
        if reasons := sorted({languages.missing(tags[0]) for tags in known.values()} - {""}):
            sys.stderr.write(f"{len(known) - len(self.voices)} voices are not offered: {' '.join(reasons)}\n")
        if not self.voices:
            raise EngineUnavailable(f"No voice can be read: {' '.join(reasons)}")

    def end_reader(self) -> None:
        espeak.stop()

    def add_style(self, voice: str, base: str, style: Weights) -> None:
        try:
            self._vectors.add(voice, style)
        except ValueError as error:
            raise EngineUnavailable(f"The style of voice {voice} {error}.") from None
        self.voices[voice] = self.voices[base]

    def phonemes(self, text: str, voice: str, language: str | None) -> Sequence[str]:
        whole = languages.read(text, self._language(voice, language))
        known = "".join(phoneme for phoneme in whole if phoneme in self._ids)
        if not any(character.isalpha() for character in known):  # punctuation would become a hum
            return ()
        return pieces(known, PIECE_PHONEMES)

    def render(self, phonemes: str, voice: str, speed: float) -> FloatSamples:
        blend = self._blend(voice)
        vectors = self._vectors.blended(blend) if len(blend) > 1 else self._vectors[blend[0].name]
        ids = [self._ids[phoneme] for phoneme in phonemes[:MAX_PHONEMES]]
        # As upstream chooses the row: hexgrad/kokoro, KPipeline.infer.
        style = vectors[min(len(ids), len(vectors)) - 1]
        (samples,) = self.session.run(
            {
                "tokens": np.array([[PADDING, *ids, PADDING]], np.int64),
                "style": np.asarray(style, np.float32)[np.newaxis],
                "speed": np.array([speed], np.float32),
            }
        )
        return samples.reshape(-1) * np.float32(gain(blend))

    def _blend(self, voice: str) -> Blend:
        """Return the voices that a name means: one, or those of a blend."""
        blend = parse_blend(voice)  # the router has checked it: `BrokenBlend` cannot come from a request
        for name, _ in blend:
            if name not in self.voices:
                raise EngineError(f"Engine Onnx has no voice {name}.")
        return blend

    def _language(self, voice: str, language: str | None) -> str:
        """Return the tag in `LANGUAGES` of a text: its own, or the voice's if Kokoro does not read its own."""
        own = self.voices[self._blend(voice)[0].name][0]
        if language is None:
            return own
        tag = language.lower()
        if tag in _CANTONESE:
            raise TextUnreadable("Kokoro does not speak Cantonese; eSpeak NG does: use its voice yue.")
        primary = tag.partition("-")[0]
        if primary == own.partition("-")[0]:
            return tag if tag in languages.LANGUAGES else own
        return next((known for known in languages.LANGUAGES if known.partition("-")[0] == primary), own)


def _installed(name: str) -> Path:
    folder = kokoro_folder()
    if folder is None:
        raise EngineUnavailable(
            "Kokoro is not installed: pip install 'ttsfleet[server,kokoro]', then run tts-install-kokoro."
        )
    return folder / name


def _vocabulary(path: Path) -> Mapping[str, int]:
    """Return the number of each phoneme, from `{"vocab": {...}}` or from the inner object alone."""
    try:
        content = json.loads(path.read_text("utf-8"))
        return {str(phoneme): int(number) for phoneme, number in content.get("vocab", content).items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise EngineUnavailable(
            f"{path} is not a vocabulary: it must be a JSON object of phonemes and numbers."
        ) from error
