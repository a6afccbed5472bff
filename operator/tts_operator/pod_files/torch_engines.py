"""Options of the engines CosyVoice and IndexTTS in server.json: paths in the model's source become paths in the pod."""

from pathlib import Path

from tts_operator.api import TTSModel
from tts_operator.pod_files.model_files import adapter_paths, model_directory
from tts_server.config.schema import MODEL_DIRECTORY, Precision
from tts_server.config.torch_engines import CosyVoiceConfig, CosyVoicePrompt, IndexTTSConfig, IndexTTSPrompt

LOAD_SECONDS = 540.0
"""Maximum time for a process to load: gigabytes from a network volume. A pod's start may take 600 s."""


def cosyvoice_config(model: TTSModel, precision: str, *, cuda: bool = False) -> CosyVoiceConfig | None:
    """Options of engine CosyVoice at one precision; None for another engine."""
    engine = model.spec.cosy_voice
    if engine is None:
        return None
    config = CosyVoiceConfig(
        model_directory=_mounted(model, engine.model_path),
        code_directory=_mounted(model, engine.code_path) if engine.code_path else None,
        fp16=precision == Precision.FP16,
        load_jit=engine.load_jit,
        load_trt=engine.load_trt,
        stream=engine.stream,
        prompts={
            prompt.voice: CosyVoicePrompt(
                wav=_mounted(model, prompt.wav), text=prompt.text, instruction=prompt.instruction
            )
            for prompt in engine.prompts
        },
        adapters=adapter_paths(model),
        voice_adapters=voice_adapters(model),
    )
    return config.model_copy(update={"device": "CUDA"}) if cuda else config


def index_tts_config(model: TTSModel, precision: str, *, cuda: bool = False) -> IndexTTSConfig | None:
    """Options of engine IndexTTS at one precision; None for another engine."""
    engine = model.spec.index_tts
    if engine is None:
        return None
    prompts = {}
    for prompt in engine.prompts:
        strengths = tuple(percent / 100 for percent in prompt.emotion_percent) if prompt.emotion_percent else None
        prompts[prompt.voice] = IndexTTSPrompt(
            wav=_mounted(model, prompt.wav),
            emotion_wav=_mounted(model, prompt.emotion_wav) if prompt.emotion_wav else None,
            emotion_strengths=strengths,
            emotion_weight=prompt.emotion_weight_percent / 100,
        )
    config = IndexTTSConfig(
        model_directory=_mounted(model, engine.model_path),
        code_directory=_mounted(model, engine.code_path) if engine.code_path else None,
        fp16=precision == Precision.FP16,
        prompts=prompts,
        adapters=adapter_paths(model),
        voice_adapters=voice_adapters(model),
    )
    return config.model_copy(update={"device": "CUDA"}) if cuda else config


def voice_adapters(model: TTSModel) -> dict[str, str]:
    """Names of adapters by voice."""
    return {voice.name: voice.adapter for voice in model.spec.voices if voice.adapter is not None}


def _mounted(model: TTSModel, path: str) -> Path:
    return Path(model_directory(model) or MODEL_DIRECTORY) / path
