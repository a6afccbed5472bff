"""Options of the engines CosyVoice and IndexTTS in ``server.json``."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tts_server.config.config_model import ConfigModel

VoiceName = Annotated[str, Field(min_length=1)]
EmotionStrength = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class TorchEngineConfig(ConfigModel):
    """Options that both engines have."""

    model_directory: Path
    """Folder with the weights, as the project publishes them."""
    code_directory: Path | None = None
    """Checkout of the project, with its submodules. Unset: its package is installed for the engine's interpreter."""
    fp16: bool = False
    """Computes with 16 bit floats. It needs a CUDA device: without one the engine does not start."""
    device: Literal["CUDA"] | None = None
    """CUDA: the engine does not start without such a device. Unset: a CUDA device if there is one, else the CPU."""
    adapters: dict[VoiceName, Path] = {}
    """Folders of LoRA adapters as PEFT writes them, by name; they are folded into the language model's weights."""
    voice_adapters: dict[VoiceName, str] = {}
    """Names of adapters, by voice. Other voices speak without one."""

    @model_validator(mode="after")
    def _known_adapters(self) -> Self:
        for voice, adapter in self.voice_adapters.items():
            if adapter not in self.adapters:
                raise ValueError(f"voiceAdapters: voice {voice} names adapter {adapter}, which is not in adapters")
        return self


class CosyVoicePrompt(ConfigModel):
    """Recording whose voice CosyVoice imitates. With neither text nor instruction only the voice is taken from it."""

    wav: Path
    """WAV file of at most 30 s, at 16,000 Hz or more."""
    text: str = ""
    """Words of the recording: the voice then also speaks in its manner."""
    instruction: str = ""
    """Manner to speak in, in plain words. CosyVoice 2 and 3 only; `text` is not used then."""


class CosyVoiceConfig(TorchEngineConfig):
    """Options of engine CosyVoice."""

    load_jit: bool = False
    """Uses the compiled modules (`*.zip`) of the weights. CosyVoice 1 and 2, with a CUDA device."""
    load_trt: bool = False
    """Uses TensorRT for the flow decoder; without a plan for this GPU in the folder upstream writes one there first."""
    stream: bool = True
    """Yields audio while a sentence is computed. Requests with another speed than 1 get each sentence as a whole."""
    prompts: dict[VoiceName, CosyVoicePrompt] = {}
    """Recordings, by the name of the voice, besides the speakers of the weights (`spk2info.pt`)."""


class IndexTTSPrompt(ConfigModel):
    """Recording whose voice IndexTTS imitates. The emotion is that of the recording, unless a field says otherwise."""

    wav: Path
    """Audio file; its first 15 s are used (version 1: all of it)."""
    emotion_wav: Path | None = None
    """Recording of the emotion. IndexTTS 2 and later, as the next two fields."""
    emotion_strengths: Annotated[tuple[EmotionStrength, ...], Field(min_length=8, max_length=8)] | None = None
    """Strengths of happy, angry, sad, afraid, disgusted, melancholic, surprised and calm; not with `emotionWav`."""
    emotion_weight: EmotionStrength = 1.0
    """Weight of the emotion."""

    @model_validator(mode="after")
    def _one_emotion(self) -> Self:
        if self.emotion_wav is not None and self.emotion_strengths is not None:
            raise ValueError("set either emotionWav or emotionStrengths")
        return self


class IndexTTSConfig(TorchEngineConfig):
    """Options of engine IndexTTS."""

    use_cuda_kernel: bool = False
    """Compiles upstream's CUDA kernel of the vocoder when it loads; it needs the CUDA toolkit in the image."""
    prompts: Annotated[dict[VoiceName, IndexTTSPrompt], Field(min_length=1)]
    """Recordings, by the name of the voice: IndexTTS has no other voices."""
