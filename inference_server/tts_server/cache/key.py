"""Cache keys: a digest of everything that determines the audio, and of the tenant."""

import hashlib
import json
from collections.abc import Sequence

from tts_server.config.schema import LocalEngine, ModelConfig, ServerConfig
from tts_server.engines.registry import engine_version
from tts_server.routing.voice_selection import RoutedUtterance
from tts_server.text import TEXT_VERSION

ENCODING_VERSION = 2
"""Increment when an encoder writes other bytes for the same samples: cached replies are not found any more then."""


def cache_key(
    config: ServerConfig, utterances: Sequence[RoutedUtterance], format_: str, rate_hz: tuple[int, int | None]
) -> str:
    """64 hexadecimal digits. `rate_hz`: the engine's sample rate, and the requested one, if any.

    Two tenants never share a key, nor does a later tenant of the same name. The key contains the text as a digest only.
    """
    models = {model.name: model for model in config.models}
    parts = [
        [config.tenant, config.tenant_uid],
        [TEXT_VERSION, ENCODING_VERSION, format_, *rate_hz],
        {name: weights(models[name]) for name in sorted({routed.model for routed in utterances})},
        [
            [routed.model, u.text, u.voice, u.language, u.speed, u.precision, routed.pause_seconds]
            for routed in utterances
            for u in [routed.utterance]
        ],
    ]
    return hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()


def weights(model: ModelConfig) -> str:
    """Identifies a model's weights: their digest, or, if the configuration has none, the engine and its version."""
    if model.weights_digest is not None:
        return model.weights_digest
    engine = model.engine
    if isinstance(engine, LocalEngine):
        settings = json.dumps([_options(engine), engine.normalized_languages], sort_keys=True)
        return f"{engine.type} {engine_version(engine.type.lower())} {settings}"
    return f"{engine.type} {engine.url}"


def _options(engine: LocalEngine) -> str:
    own = engine.onnx.precision_files if engine.onnx is not None else {}
    files = {"precision_files": {precision: engine.options_of(precision)["files"] for precision in own}} if own else {}
    return json.dumps(engine.options | files, sort_keys=True)
