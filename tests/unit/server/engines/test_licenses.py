"""The catalogue names the license of voices that the server contains, and of no others."""

from typing import Any

import pytest

from tts_server.config.schema import ModelConfig
from tts_server.engines.licenses import voice_license

OWN_GRAPH = {"model": "/models/own.onnx"}


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        ({"type": "Espeak"}, "GPL-3.0-or-later"),
        ({"type": "Onnx", "onnx": {"family": "Hibari"}}, "Apache-2.0"),
        ({"type": "Onnx", "onnx": {"family": "Kokoro"}}, "Apache-2.0"),
        ({"type": "Onnx", "onnx": {"family": "Kokoro", "files": {"vocabulary": "/models/v.json"}}}, "Apache-2.0"),
        ({"type": "Onnx", "onnx": {"family": "Kokoro", "files": OWN_GRAPH}}, None),
        ({"type": "Onnx", "onnx": {"family": "Hibari", "precisionFiles": {"fp32": OWN_GRAPH}}}, None),
        ({"type": "Onnx", "onnx": {"family": "Piper", "files": OWN_GRAPH}}, None),
        ({"type": "Pool", "url": "http://acme-piper:8080"}, None),
    ],
)
def test_the_license_is_that_of_built_in_voices(engine: dict[str, Any], expected: str | None) -> None:
    assert voice_license(ModelConfig.model_validate({"name": "m", "engine": engine})) == expected
