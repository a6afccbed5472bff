"""What `tts-server` serves without a configuration: a laptop's eSpeak NG, for whoever is on that laptop."""

import os
from pathlib import Path

from tts_server.config.schema import LanguageRoute, LocalEngine, ModelConfig, QuotaConfig, ServerConfig, StorageConfig

# Names that clients of OpenAI send when nobody told them otherwise.
_MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
_VOICES = {
    "alloy": "en-us", "ash": "en-us", "ballad": "en-gb", "coral": "en-us", "echo": "en-gb", "fable": "en-gb",
    "marin": "en-us", "cedar": "en-us", "nova": "en-us", "onyx": "en-gb", "sage": "en-us", "shimmer": "en-us",
    "verse": "en-gb",
}  # fmt: skip
# Scripts that tell their language; everything else is the request's voice's own, or English.
_ROUTES = {"zh": "cmn", "ja": "ja", "ko": "ko", "de": "de", "es": "es", "fr": "fr-fr", "default": "en-us"}


def embedded_config() -> ServerConfig:
    """Every voice of the engine, no keys, a page to try them from, files in the user's cache."""
    return ServerConfig(
        models=(ModelConfig(name="espeak", engine=LocalEngine()),),
        model_aliases=dict.fromkeys(_MODELS, "espeak"),
        voice_aliases=_VOICES,
        language_routing=tuple(LanguageRoute(language=language, voice=voice) for language, voice in _ROUTES.items()),
        storage=StorageConfig(directory=_cache() / "ttsfleet" / "audio"),
        drain_seconds=10,
        playground=True,
        docs=True,
    )


def embedded_quota() -> QuotaConfig:
    """No limit but the length of a text."""
    return QuotaConfig()


def _cache() -> Path:
    """The XDG base directory for caches."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    return Path(given) if Path(given).is_absolute() else Path.home() / ".cache"
