"""The IndexTTS engine: what happens around one call of upstream's.

It speaks one utterance at a time: upstream's `infer` takes one text and one speaker. Its `infer_fast` of version 1
computes the parts of a single text together, and returns them as one piece of audio. So this is no `BatchingEngine`. A
pod speaks several texts at once with several processes.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tts_server.engines.index_tts.release import CONFIG_FILE, auxiliary_paths, read_release
from tts_server.engines.onnx.time_stretch import at_speed
from tts_server.engines.protocol import Voices
from tts_server.engines.pytorch.checkout import Project, accepted, import_code, load, require_torch, use_checkout
from tts_server.engines.pytorch.low_rank import Adapters, read_adapters
from tts_server.engines.pytorch.weights import ModuleWeights
from tts_server.errors import EngineError, EngineUnavailable

PROJECT = Project("IndexTTS", "github.com/index-tts/index-tts", "indextts")
LANGUAGES = ("zh", "en")
MORE_LANGUAGES = ("zh", "en", "ja", "es", "ko", "fr", "de", "ar")
"""Languages of IndexTTS 2.5; `languages` of a voice in the configuration narrows them."""
FULL_SCALE = 32_767.0
"""Upstream's samples are floats of this range."""
SILENCE_SECONDS = 0.1
"""Audio of a text without a letter or digit, such as `...`."""
SEED = 0
"""Seed of the sampling: the same text sounds the same on the same device."""
EMOTIONS = 8
"""Number of upstream's emotions: happy, angry, sad, afraid, disgusted, melancholic, surprised, calm."""
_COMMAND = re.compile(r"<[^|>\n]*\|[^>\n]*>")
"""Upstream's commands in a text: `<word|pronunciation>`, `<|SPECIAL_TOKEN_1|>`. They lose their brackets."""
_BRACKETS = str.maketrans("<|>", "   ")

FloatSamples = NDArray[np.float32]


class Stopped(Exception):  # noqa: N818 - names what happened, as the tree in errors.py does
    """`IndexTTS.cancel` ended the utterance."""


@dataclass
class IndexTTSSpeaker:
    """A recording whose voice is imitated, with what upstream computed from it."""

    wav: Path
    emotion: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of upstream's `infer`; versions before 2 have none."""
    adapter: str | None = None
    cache: dict[str, Any] = field(default_factory=dict)
    """Attributes `cache_...` of upstream's object, which remembers one recording only: another costs a second."""


class IndexTTS:
    """Speaks with one model directory. Its voices are the recordings of the configuration."""

    def __init__(
        self,
        model_directory: str,
        code_directory: str | None = None,
        *,
        fp16: bool = False,
        device: str | None = None,
        use_cuda_kernel: bool = False,
        prompts: Mapping[str, Mapping[str, Any]] | None = None,
        adapters: Mapping[str, str] | None = None,
        voice_adapters: Mapping[str, str] | None = None,
    ) -> None:
        directory = Path(model_directory)
        self._release = read_release(directory)
        self._speakers = _speakers(prompts or {}, voice_adapters or {}, set(adapters or {}))
        if self._release.class_name == "IndexTTS" and any(speaker.emotion for speaker in self._speakers.values()):
            raise EngineUnavailable("Emotions of prompts need IndexTTS 2: leave them out.")
        use_checkout(PROJECT, None if code_directory is None else Path(code_directory))
        os.environ["HF_HUB_CACHE"] = str(directory / "hf_cache")  # where older code looks for its auxiliary weights
        needs = {"fp16": fp16, "useCudaKernel": use_cuda_kernel, "device CUDA": device == "CUDA"}
        self._torch = require_torch(PROJECT, cuda_for=next((name for name, set_ in needs.items() if set_), None))
        make = getattr(import_code(PROJECT, self._release.module), self._release.class_name)
        wanted = {
            "cfg_path": str(directory / CONFIG_FILE),
            "model_dir": str(directory),
            self._release.precision_option: fp16,
            "use_cuda_kernel": use_cuda_kernel,
        }
        known = {"use_qwen_emo": False, "aux_paths": auxiliary_paths(directory)}
        self._null = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
        with redirect_stdout(self._null):
            options = accepted(make, wanted, known, self._release.class_name)
            self._model = load(make, options, directory)
        self.sample_rate_hz = self._release.sample_rate_hz
        self._adapters = Adapters(ModuleWeights(self._torch, self._model.gpt), read_adapters(adapters or {}))
        self._empty_cache = _cache(self._model)
        self._stopped = False
        # Upstream reports its progress between the steps of a part, and so can be ended there.
        self._model.gr_progress = self._check
        languages = MORE_LANGUAGES if self._release.takes_language else LANGUAGES
        self.voices: Voices = dict.fromkeys(self._speakers, languages)

    def speak(self, text: str, voice: str, language: str | None, speed: float) -> Iterator[FloatSamples]:
        if (speaker := self._speakers.get(voice)) is None:
            raise EngineError(f"Engine IndexTTS has no voice {voice}.")
        if not any(character.isalnum() for character in text):
            yield np.zeros(int(SILENCE_SECONDS * self.sample_rate_hz), np.float32)
            return
        self._stopped = False
        self._adapters.select(speaker.adapter)
        self._torch.manual_seed(SEED)
        vars(self._model).update(speaker.cache or self._empty_cache)
        stretch: Callable[[FloatSamples], FloatSamples] = partial(
            at_speed, sample_rate_hz=self.sample_rate_hz, speed=1.0 if self._release.takes_language else speed
        )
        try:
            # Upstream prints the text, and a dozen lines for each.
            with redirect_stdout(self._null):
                for part in self._parts(speakable(text), speaker, language, speed):
                    yield stretch(part)
        except Stopped:
            return
        speaker.cache = _cache(self._model)

    def cancel(self) -> None:
        self._stopped = True

    def _parts(self, text: str, speaker: IndexTTSSpeaker, language: str | None, speed: float) -> Iterator[FloatSamples]:
        # The criterion is asked for each step of the autoregressive model.
        options: dict[str, Any] = {"stopping_criteria": [self._criterion], **speaker.emotion}
        if self._release.takes_language:
            options |= {"lang": (language or LANGUAGES[0]).partition("-")[0], "duration_factor": 1 / speed}
        if not self._release.streams:
            _, samples = self._model.infer(str(speaker.wav), text, None, **options)
            yield _floats(samples)
            return
        pause: FloatSamples | None = None
        for number, part in enumerate(self._model.infer(str(speaker.wav), text, None, stream_return=True, **options)):
            # Every second one is the pause after a part; the last would lengthen the server's own pause.
            if number % 2:
                pause = _floats(part)
                continue
            if pause is not None:
                yield pause
            yield _floats(part)

    def _criterion(self, input_ids: Any, scores: Any, **kwargs: Any) -> bool:
        """Whether generation is complete, as transformers asks its `StoppingCriteria`; raises instead of an answer."""
        del input_ids, scores, kwargs
        self._check()
        return False

    def _check(self, *progress: Any, **described: Any) -> None:
        del progress, described
        if self._stopped:
            raise Stopped


def speakable(text: str) -> str:
    """Return `text` without what upstream's front end takes for commands; their words stay."""
    return _COMMAND.sub(lambda found: found[0].translate(_BRACKETS), text)


def _speakers(
    prompts: Mapping[str, Mapping[str, Any]], voice_adapters: Mapping[str, str], adapters: set[str]
) -> dict[str, IndexTTSSpeaker]:
    if not prompts:
        raise EngineUnavailable("IndexTTS has no speakers of its own: add a recording to prompts.")
    for voice, adapter in voice_adapters.items():
        if voice not in prompts or adapter not in adapters:
            raise EngineUnavailable(f"voiceAdapters: there is no voice {voice}, or no adapter {adapter}.")
    speakers = {}
    for name, prompt in prompts.items():
        files = {"recording": prompt["wav"], "emotion's recording": prompt.get("emotion_wav")}
        for what, file in files.items():
            if file is not None and not Path(file).is_file():
                raise EngineUnavailable(f"There is no file {file}, the {what} of prompt {name}.")
        speakers[name] = IndexTTSSpeaker(Path(prompt["wav"]), _emotion(prompt), voice_adapters.get(name))
    return speakers


def _emotion(prompt: Mapping[str, Any]) -> dict[str, Any]:
    emotion: dict[str, Any] = {}
    if (wav := prompt.get("emotion_wav")) is not None:
        emotion["emo_audio_prompt"] = str(wav)
    if (strengths := prompt.get("emotion_strengths")) is not None:
        emotion["emo_vector"] = list(strengths)
    if emotion and (weight := prompt.get("emotion_weight")) is not None:
        emotion["emo_alpha"] = weight
    return emotion


def _cache(model: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(model).items() if name.startswith("cache_")}


def _floats(part: Any) -> FloatSamples:
    """Return upstream's samples, floats or 16 bit integers of shape (1, n) or (n, 1), within [-1, 1]."""
    return np.asarray(part, np.float32).reshape(-1) / np.float32(FULL_SCALE)
