"""Configuration of `tts-server` without a file: its own voices for the user of this machine, without keys."""

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from tts_server.config.schema import (
    FallbackConfig,
    LanguageRoute,
    LocalEngine,
    ModelConfig,
    OnnxConfig,
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


def is_installed(package: str) -> bool:
    """Whether the package of an engine is there. It is not imported: engines run in processes of their own."""
    return find_spec(package) is not None


def embedded_config(is_installed: Callable[[str], bool] = is_installed) -> ServerConfig:
    """Return a configuration with every installed engine, no keys, both pages, and files in the user's cache.

    The neural voice is the default; eSpeak NG, an extra, has the other languages, and speaks where the voice fails.
    """
    espeak = is_installed("espeakng_loader")
    neural = is_installed("hibari") or not espeak
    models: list[ModelConfig] = []
    routes = dict(_ESPEAK_ROUTES) if espeak else {}
    if neural:
        engine = LocalEngine(type="Onnx", onnx=OnnxConfig(family="Hibari"))
        fallback = FallbackConfig(model="espeak") if espeak else None
        models.append(ModelConfig(name=NEURAL_MODEL, engine=engine, fallback=fallback))
        voices = dict.fromkeys(_VOICES, NEURAL_VOICE)
    else:
        voices = {voice: "en-gb" if voice in _BRITISH else "en-us" for voice in _VOICES}
    if espeak:
        models.append(ModelConfig(name="espeak", engine=LocalEngine()))
    routes["default"] = NEURAL_VOICE if neural else "en-us"
    return ServerConfig(
        models=tuple(models),
        model_aliases=dict.fromkeys(_MODELS, models[0].name),
        voice_aliases=voices,
        language_routing=tuple(LanguageRoute(language=language, voice=voice) for language, voice in routes.items()),
        storage=StorageConfig(directory=_cache() / "ttsfleet" / "audio"),
        drain_seconds=10,
        playground=True,
        docs=True,
    )


def embedded_quota() -> QuotaConfig:
    """Return limits that only bound the length of a text."""
    return QuotaConfig()


def _cache() -> Path:
    """Return the cache folder of the XDG Base Directory Specification."""
    folder = os.environ.get("XDG_CACHE_HOME", "")
    return Path(folder) if Path(folder).is_absolute() else Path.home() / ".cache"
