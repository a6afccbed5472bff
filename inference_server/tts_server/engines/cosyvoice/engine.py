"""The CosyVoice engine: what happens around one call of upstream's.

It speaks one utterance at a time: upstream computes the tokens of one text per call, and has no call for several. So it
is no `BatchingEngine`; only upstream's vLLM mode joins the steps of concurrent calls, with a PyTorch of its own and a
model directory that it writes to. A pod speaks several texts at once with several processes.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tts_server.engines.cosyvoice.generation import Stopped, TokenGeneration
from tts_server.engines.cosyvoice.voices import (
    LANGUAGES,
    SPEAKERS,
    SYSTEM_PROMPT,
    CosyVoiceSpeaker,
    Prompt,
    prompt_mode,
    prompt_text,
    speaker_mode,
)
from tts_server.engines.protocol import Voices
from tts_server.engines.pytorch.checkout import (
    Project,
    accepted,
    import_code,
    load,
    require_files,
    require_torch,
    use_checkout,
)
from tts_server.engines.pytorch.low_rank import Adapters, read_adapters
from tts_server.engines.pytorch.weights import ModuleWeights
from tts_server.errors import EngineError, EngineUnavailable

PROJECT = Project("CosyVoice", "github.com/FunAudioLLM/CosyVoice", "cosyvoice", ("third_party/Matcha-TTS",))
CLASSES: Mapping[str, tuple[int, str]] = {
    "cosyvoice.yaml": (1, "CosyVoice"),
    "cosyvoice2.yaml": (2, "CosyVoice2"),
    "cosyvoice3.yaml": (3, "CosyVoice3"),
}
"""Versions and classes by the file that a model directory has; as upstream's `AutoModel`, which older code lacks."""
FILES: Mapping[int, tuple[str, ...]] = {
    1: ("llm.pt", "flow.pt", "hift.pt", "campplus.onnx", "speech_tokenizer_v1.onnx"),
    2: ("llm.pt", "flow.pt", "hift.pt", "campplus.onnx", "speech_tokenizer_v2.onnx", "CosyVoice-BlankEN/config.json"),
    3: ("llm.pt", "flow.pt", "hift.pt", "campplus.onnx", "speech_tokenizer_v3.onnx", "CosyVoice-BlankEN/config.json"),
}
"""Files that upstream's classes read; without them it would try to download, or fail with its own traceback."""
SILENCE_SECONDS = 0.1
"""Audio of a text without a letter or digit, such as `...`."""
SEED = 0
"""Seed of the sampling: the same text sounds the same, as far as PyTorch and the order of upstream's threads allow."""
_COMMAND = re.compile(r"<\|[^|<>]*\|>|</?\w+>|\[[^\[\]]*\]")
"""Upstream's commands in a text: `<|en|>`, `<strong>`, `[laughter]`, `[j]`. Text is data: they lose their brackets."""
_BRACKETS = str.maketrans("<>[]|/", "      ")

FloatSamples = NDArray[np.float32]


class CosyVoice:
    """Speaks with one model directory. Its voices are the model's speakers and the prompts of the configuration."""

    def __init__(
        self,
        model_directory: str,
        code_directory: str | None = None,
        *,
        fp16: bool = False,
        device: str | None = None,
        load_jit: bool = False,
        load_trt: bool = False,
        stream: bool = True,
        prompts: Mapping[str, Mapping[str, str]] | None = None,
        adapters: Mapping[str, str] | None = None,
        voice_adapters: Mapping[str, str] | None = None,
    ) -> None:
        directory = Path(model_directory)
        self._version, class_name = _model_class(directory)
        require_files(directory, FILES[self._version], class_name)
        recordings = {
            name: Prompt(Path(prompt["wav"]), prompt.get("text", ""), prompt.get("instruction", ""))
            for name, prompt in (prompts or {}).items()
        }
        modes = {name: prompt_mode(name, prompt, self._version) for name, prompt in recordings.items()}
        for name, prompt in recordings.items():
            if not prompt.wav.is_file():
                raise EngineUnavailable(f"There is no file {prompt.wav}, the recording of prompt {name}.")
        if adapters and load_jit:
            raise EngineUnavailable("Adapters change weights, which loadJit compiles: leave out one of them.")
        use_checkout(PROJECT, None if code_directory is None else Path(code_directory))
        needs = {"fp16": fp16, "loadJit": load_jit, "loadTrt": load_trt, "device CUDA": device == "CUDA"}
        self._torch = require_torch(PROJECT, cuda_for=next((name for name, set_ in needs.items() if set_), None))
        code = import_code(PROJECT, "cosyvoice.cli.cosyvoice")
        if not hasattr(code, class_name):
            raise EngineUnavailable(
                f"The code of CosyVoice has no class {class_name}, which {directory} needs: mount a newer checkout."
            )
        make = getattr(code, class_name)
        set_options = {name: True for name, is_set in [("load_jit", load_jit), ("load_trt", load_trt)] if is_set}
        # `final` is an option of cosyvoice2-eu: it then loads the files that the official code loads.
        options = accepted(make, {**set_options, "fp16": fp16}, {"final": True}, class_name)
        self._model = load(make, {"model_dir": str(directory), **options}, directory)
        self.sample_rate_hz = int(self._model.sample_rate)
        self._stream = stream
        self._generation = TokenGeneration(self._model.model)
        self._adapters = Adapters(
            ModuleWeights(self._torch, self._model.model.llm),
            read_adapters(adapters or {}),
        )
        self._speakers = self._registered(recordings, modes, voice_adapters or {}, set(adapters or {}))
        self.voices: Voices = {
            name: tuple(dict.fromkeys((SPEAKERS.get(name, LANGUAGES[0]), *LANGUAGES))) for name in self._speakers
        }

    def speak(self, text: str, voice: str, language: str | None, speed: float) -> Iterator[FloatSamples]:
        if (speaker := self._speakers.get(voice)) is None:
            raise EngineError(f"Engine CosyVoice has no voice {voice}.")
        if not any(character.isalnum() for character in text):
            yield np.zeros(int(SILENCE_SECONDS * self.sample_rate_hz), np.float32)
            return
        self._adapters.select(speaker.adapter)
        self._torch.manual_seed(SEED)
        self._generation.begin()
        outputs = self._outputs(speakable(text), voice, speaker, language, speed)
        spoken = False
        try:
            for output in outputs:
                spoken = True
                yield np.asarray(output["tts_speech"], np.float32).reshape(-1)
        except Stopped:
            return
        finally:
            self._generation.end()
        if not spoken:
            raise EngineError(f"CosyVoice found nothing to read in this text: it reads {', '.join(LANGUAGES)}.")

    def cancel(self) -> None:
        self._generation.stop()

    def _outputs(self, text: str, voice: str, speaker: CosyVoiceSpeaker, language: str | None, speed: float) -> Any:
        # Upstream changes the speed of whole renderings only, and ignores it in a stream.
        options = {"stream": self._stream and speed == 1.0, "speed": speed}
        model = self._model
        match speaker.mode:
            case "sft":
                return model.inference_sft(text, voice, **options)
            case "zero_shot":
                return model.inference_zero_shot(text, "", "", zero_shot_spk_id=voice, **options)
            case "cross_lingual":
                tagged = self._tagged(text, language)
                return model.inference_cross_lingual(tagged, "", zero_shot_spk_id=voice, **options)
            case "instruct2":
                return model.inference_instruct2(text, "", "", zero_shot_spk_id=voice, **options)

    def _tagged(self, text: str, language: str | None) -> str:
        """Return the text with what only the voice of a prompt needs: its language, or the prompt of CosyVoice 3."""
        if self._version >= 3:
            return f"{SYSTEM_PROMPT}{text}"
        primary = (language or "").partition("-")[0].lower()
        return f"<|{primary}|>{text}" if self._version == 1 and primary in LANGUAGES else text

    def _registered(
        self,
        prompts: Mapping[str, Prompt],
        modes: Mapping[str, Any],
        voice_adapters: Mapping[str, str],
        adapters: set[str],
    ) -> dict[str, CosyVoiceSpeaker]:
        """Register the recordings with upstream, and return all voices. Raises `EngineUnavailable` if there is none."""
        known = self._model.frontend.spk2info
        speakers = {name: CosyVoiceSpeaker(speaker_mode(known[name])) for name in self._model.list_available_spks()}
        as_samples = "prompt_speech_16k" in accepted(
            self._model.add_zero_shot_spk, {}, {"prompt_speech_16k": None}, "add_zero_shot_spk"
        )  # before May 2025 upstream took samples instead of a file
        for name, prompt in prompts.items():
            recording: Any = str(prompt.wav)
            try:
                if as_samples:
                    recording = import_code(PROJECT, "cosyvoice.utils.file_utils").load_wav(recording, 16_000)
                self._model.add_zero_shot_spk(prompt_text(prompt, self._version), recording, name)
            except Exception as error:  # whatever the audio library raises; its message may name only itself
                raise EngineUnavailable(
                    f"The recording {prompt.wav} of prompt {name} cannot be used ({type(error).__name__}): it must be "
                    "a WAV file of at most 30 s and at least 16000 Hz."
                ) from error
            speakers[name] = CosyVoiceSpeaker(modes[name])
        if not speakers:
            raise EngineUnavailable(
                f"{self._model.model_dir} has no speakers of its own: add a recording to prompts, with its words."
            )
        for voice, adapter in voice_adapters.items():
            if voice not in speakers or adapter not in adapters:
                raise EngineUnavailable(f"voiceAdapters: there is no voice {voice}, or no adapter {adapter}.")
            speakers[voice] = CosyVoiceSpeaker(speakers[voice].mode, adapter)
        return speakers


def speakable(text: str) -> str:
    """Return `text` without what upstream's front end takes for commands; their words stay."""
    return _COMMAND.sub(lambda found: found[0].translate(_BRACKETS), text)


def _model_class(directory: Path) -> tuple[int, str]:
    for file, found in CLASSES.items():
        if (directory / file).is_file():
            return found
    raise EngineUnavailable(
        f"There is no file {', '.join(CLASSES)} in {directory}: the model directory must be a model of CosyVoice."
    )
