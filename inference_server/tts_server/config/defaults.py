"""Configuration of `tts-server` without a file: eSpeak NG for the user of this machine, without keys."""

import os
from pathlib import Path

from tts_server.config.schema import LanguageRoute, LocalEngine, ModelConfig, QuotaConfig, ServerConfig, StorageConfig

# Names that OpenAI's clients use by default.
_MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
_VOICES = {
    "alloy": "en-us", "ash": "en-us", "ballad": "en-gb", "coral": "en-us", "echo": "en-gb", "fable": "en-gb",
    "marin": "en-us", "cedar": "en-us", "nova": "en-us", "onyx": "en-gb", "sage": "en-us", "shimmer": "en-us",
    "verse": "en-gb",
}  # fmt: skip
# Languages that a script identifies; any other text is the voice's own language, or English.
_ROUTES = {"zh": "cmn", "ja": "ja", "ko": "ko", "de": "de", "es": "es", "fr": "fr-fr", "default": "en-us"}


def embedded_config() -> ServerConfig:
    """Return a configuration with every voice of the engine, no keys, both pages, and files in the user's cache."""
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
    """Return limits that only bound the length of a text."""
    return QuotaConfig()


def _cache() -> Path:
    """Return the cache folder of the XDG Base Directory Specification."""
    folder = os.environ.get("XDG_CACHE_HOME", "")
    return Path(folder) if Path(folder).is_absolute() else Path.home() / ".cache"
