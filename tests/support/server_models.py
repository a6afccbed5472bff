"""Builds models of a server's configuration."""

from collections.abc import Sequence
from typing import Any

from tts_server.config.schema import ModelConfig, VoiceConfig


def model(name: str, *voices: tuple[str, Sequence[str]], **changes: Any) -> ModelConfig:
    """A model with these voices, each with its languages."""
    listed = tuple(VoiceConfig(name=voice, languages=tuple(languages)) for voice, languages in voices)
    return ModelConfig(name=name, voices=listed, **changes)
