"""The name of a sound: everything that changes it, and whose it is."""

import hashlib
import json
from collections.abc import Sequence

from tts_server.config.schema import LocalEngine, ModelConfig, ServerConfig
from tts_server.engines.registry import engine_version
from tts_server.routing.voice_selection import RoutedUtterance
from tts_server.text import TEXT_VERSION

ENCODING_VERSION = 2
"""Raise it when an encoder writes other bytes for the same samples: kept ones are not found again then."""


def cache_key(
    config: ServerConfig, spoken: Sequence[RoutedUtterance], format_: str, rate_hz: tuple[int, int | None]
) -> str:
    """64 hexadecimal digits. `rate_hz` is the engine's, and the one that was asked for, if any.

    Two tenants never share a key, nor do namesakes one after the other. The text is in it as a digest only.
    """
    models = {model.name: model for model in config.models}
    parts = [
        [config.tenant, config.tenant_uid],
        [TEXT_VERSION, ENCODING_VERSION, format_, *rate_hz],
        {name: weights(models[name]) for name in sorted({line.model for line in spoken})},
        [[line.model, u.text, u.voice, u.language, u.speed, u.precision] for line in spoken for u in [line.utterance]],
    ]
    return hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()


def weights(model: ModelConfig) -> str:
    """What a model sounds like: its weights' digest, or who makes its sound where nobody gave one."""
    if model.weights_digest is not None:
        return model.weights_digest
    engine = model.engine
    if isinstance(engine, LocalEngine):
        return f"{engine.type} {engine_version(engine.type.lower())}"
    return f"{engine.type} {engine.url}"
