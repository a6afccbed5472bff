"""Family Piper: VITS voices of the project Piper, of one or several speakers, each with a JSON file that describes it.

Their phonemes are those of eSpeak NG, which is under the GPL and runs in a process of its own (`ttsfleet[espeak]`). The
noise that varies their sound is inside the graph: two renderings of a text differ, unless both scales of noise are 0.
"""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tts_server.engines.onnx.family import FloatSamples
from tts_server.engines.onnx.front_ends import piper_phonemes
from tts_server.engines.onnx.initializers import Weights
from tts_server.engines.onnx.session import DEFAULT_OPTIONS, GraphSession, SessionOptions
from tts_server.engines.protocol import Voices
from tts_server.errors import EngineUnavailable

MAX_PHONEMES = 400
"""Longest piece given to the graph, whose memory grows with it."""
_PADDING, _BEGINNING, _END = "_", "^", "$"


class Piper:
    """The voices of one graph: its speakers, or one that is named after the file's language and data set."""

    speeds = (0.25, 1.0)
    """Every phoneme and every gap between two lasts a frame at least: at twice the speed, words take two thirds."""

    def __init__(
        self,
        model: Path | None = None,
        config: Path | None = None,
        *,
        noise_scale: float | None = None,
        noise_width: float | None = None,
        session_options: SessionOptions = DEFAULT_OPTIONS,
        weights: Mapping[str, Weights] | None = None,
    ) -> None:
        """Load the graph `model`, described by `config`, by default the file of its name and `.json` beside it.

        Raises `EngineUnavailable`.
        """
        if model is None:
            raise EngineUnavailable("Family Piper has no voice of its own: set files.model to a graph.")
        path = config or model.with_name(f"{model.name}.json")
        description = _described(path)
        inference = description.get("inference", {})
        try:
            self._ids: Mapping[str, Sequence[int]] = description["phoneme_id_map"]
            self._sample_rate_hz = int(description["audio"]["sample_rate"])
            self._reader: str = description["espeak"]["voice"]
            speakers: Mapping[str, int] = description.get("speaker_id_map") or {}
            self._length = float(inference.get("length_scale", 1.0))
            self._noise = float(inference.get("noise_scale", 0.667) if noise_scale is None else noise_scale)
            self._width = float(inference.get("noise_w", 0.8) if noise_width is None else noise_width)
            padding, beginning, end = (self._ids[mark] for mark in (_PADDING, _BEGINNING, _END))
        except (KeyError, TypeError, ValueError) as error:
            raise EngineUnavailable(
                f"{path} does not describe a voice of Piper: {type(error).__name__} {error}."
            ) from error
        self._padding, self._beginning, self._end = padding, beginning, end
        tags = _tags(description, self._reader)
        several = int(description.get("num_speakers", 1)) > 1
        if several and not speakers:
            speakers = {str(number): number for number in range(int(description["num_speakers"]))}
        self._speakers: Mapping[str, int] = speakers if several else {_name(description, model): 0}
        self.voices: Voices = dict.fromkeys(self._speakers, tags)
        inputs = ("input", "input_lengths", "scales", *(("sid",) if several else ()))
        self._has_speakers = several
        self.graph = model
        self.session = GraphSession(model, inputs, session_options, weights)
        piper_phonemes.require(self._reader)

    @property
    def sample_rate_hz(self) -> int:
        return self._sample_rate_hz

    def end_reader(self) -> None:
        piper_phonemes.stop()

    def phonemes(self, text: str, voice: str, language: str | None) -> Sequence[str]:
        del voice, language  # a graph has one language
        known = "".join(phoneme for phoneme in piper_phonemes.read(self._reader, text) if phoneme in self._ids)
        if not any(character.isalpha() for character in known):  # punctuation would become a hum
            return ()
        return piper_phonemes.pieces(known, MAX_PHONEMES)

    def render(self, phonemes: str, voice: str, speed: float) -> FloatSamples:
        ids = [*self._beginning, *self._padding]
        for phoneme in phonemes:
            ids += [*self._ids[phoneme], *self._padding]
        ids += self._end
        inputs: dict[str, Any] = {
            "input": np.array([ids], np.int64),
            "input_lengths": np.array([len(ids)], np.int64),
            "scales": np.array([self._noise, self._length / speed, self._width], np.float32),
        }
        if self._has_speakers:
            inputs["sid"] = np.array([self._speakers[voice]], np.int64)
        return self.session.run(inputs)[0].reshape(-1)


def _described(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise EngineUnavailable(f"There is no file {path}, which describes the voice: set files.config.")
    try:
        content = json.loads(path.read_text("utf-8"))
    except (ValueError, OSError) as error:
        raise EngineUnavailable(f"{path} is not a JSON file.") from error
    if not isinstance(content, dict):
        raise EngineUnavailable(f"{path} does not describe a voice of Piper: it is no JSON object.")
    if (kind := content.get("phoneme_type", "espeak")) != "espeak":
        raise EngineUnavailable(f"{path} needs phonemes of the type {kind}; family Piper has those of eSpeak NG.")
    return content


def _tags(description: Mapping[str, Any], reader: str) -> tuple[str, ...]:
    """Return the BCP 47 tags of the language, the more exact one first."""
    code = description.get("language", {}).get("code", "") or reader
    exact = unicodedata.normalize("NFC", code).replace("_", "-").lower()
    primary = exact.partition("-")[0]
    return (exact,) if exact == primary else (exact, primary)


def _name(description: Mapping[str, Any], model: Path) -> str:
    """Return the name of a graph's only voice: its data set, else the second part of `en_US-joe-medium`."""
    parts = model.name.removesuffix(".onnx").split("-")
    return description.get("dataset") or (parts[1] if len(parts) > 1 else parts[0])
