"""Configuration of `tts-server` without a file: its own voices for the user of this machine, without keys."""

from collections.abc import Callable
from importlib.util import find_spec

from tts_server.config.builtin_files import kokoro_folder, user_cache
from tts_server.config.schema import (
    FallbackConfig,
    LanguageRoute,
    LocalEngine,
    ModelConfig,
    OnnxConfig,
    Precision,
    QuotaConfig,
    ServerConfig,
    StorageConfig,
)

# Names that OpenAI's clients use by default.
_MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
_VOICES = (
    "alloy", "ash", "ballad", "coral", "echo", "fable", "marin", "cedar", "nova", "onyx", "sage", "shimmer", "verse",
)  # fmt: skip
_BRITISH = frozenset({"ballad", "echo", "fable", "onyx", "verse"})
# Languages that a script identifies, and those of a request; any other text is the voice's own language, or English.
_ESPEAK_ROUTES = {"zh": "cmn", "ja": "ja", "ko": "ko", "de": "de", "es": "es", "fr": "fr-fr"}

NEURAL_MODEL, NEURAL_VOICE = "heart", "heart"
KOKORO_MODEL = "kokoro"
KOKORO_FILES = "files of Kokoro"
"""A name for `is_installed`: what `tts-install-kokoro` has installed."""
# The best voice of each language by upstream's grades; Korean is read by the voices whose sounds are closest.
_KOKORO_ROUTES = {"zh": "zf_xiaoxiao", "ja": "jf_alpha", "ko": "jf_alpha"}
_KOKORO_ESPEAK_ROUTES = {"es": "ef_dora", "fr": "ff_siwis", "it": "if_sara", "pt": "pf_dora", "hi": "hf_alpha"}
"""Languages that Kokoro reads by the phonemes of eSpeak NG."""
KOKORO_SECONDS = 30.0
"""Wait for first audio of Kokoro: on one busy core a long sentence takes several seconds, and so does a dictionary."""


def is_installed(package: str) -> bool:
    """Whether the package of an engine is there. It is not imported: engines run in processes of their own."""
    return kokoro_folder() is not None if package == KOKORO_FILES else find_spec(package) is not None


def embedded_config(is_installed: Callable[[str], bool] = is_installed) -> ServerConfig:
    """Return a configuration with every installed engine, no keys, both pages, and files in the user's cache.

    The neural voice is the default; Kokoro has its nine languages, if it is installed. eSpeak NG, an extra, has all
    others, and speaks where a voice fails.
    """
    espeak = is_installed("espeakng_loader")
    kokoro = is_installed(KOKORO_FILES) and is_installed("hibari")
    neural = is_installed("hibari") or not espeak
    models: list[ModelConfig] = []
    routes = dict(_ESPEAK_ROUTES) if espeak else {}
    fallback = FallbackConfig(model="espeak") if espeak else None
    if neural:
        engine = LocalEngine(type="Onnx", onnx=OnnxConfig(family="Hibari"))
        models.append(ModelConfig(name=NEURAL_MODEL, engine=engine, fallback=fallback))
        voices = dict.fromkeys(_VOICES, NEURAL_VOICE)
    else:
        voices = {voice: "en-gb" if voice in _BRITISH else "en-us" for voice in _VOICES}
    if kokoro:
        models.append(_kokoro(fallback))
        routes |= _KOKORO_ROUTES | (_KOKORO_ESPEAK_ROUTES if espeak else {})
    if espeak:
        models.append(ModelConfig(name="espeak", engine=LocalEngine()))
    routes["default"] = NEURAL_VOICE if neural else "en-us"
    return ServerConfig(
        models=tuple(models),
        model_aliases=dict.fromkeys(_MODELS, models[0].name),
        voice_aliases=voices,
        language_routing=tuple(LanguageRoute(language=language, voice=voice) for language, voice in routes.items()),
        storage=StorageConfig(directory=user_cache() / "audio"),
        drain_seconds=10,
        playground=True,
        docs=True,
    )


def embedded_quota() -> QuotaConfig:
    """Return limits that only bound the length of a text."""
    return QuotaConfig()


def _kokoro(fallback: FallbackConfig | None) -> ModelConfig:
    return ModelConfig(
        name=KOKORO_MODEL,
        engine=LocalEngine(type="Onnx", onnx=OnnxConfig(family="Kokoro")),
        precision=Precision.INT8,
        allowed_precisions=(Precision.INT8,),
        first_audio_timeout_seconds=KOKORO_SECONDS,
        fallback=fallback,
    )
