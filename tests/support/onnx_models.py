"""Models of engine Onnx, one for each kind of source, and what the operator reads of their stores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tests.support.operator_builders import observe
from tests.support.resources import Object, model
from tts_operator.api import TTSModel
from tts_operator.credentials.model_sources import SourceCredentials
from tts_operator.credentials.presigned_url import S3Keys
from tts_operator.snapshot.observed import Observed

KEYS = S3Keys("reader", "only-the-operator-knows-this")
SHA = "ab" * 32
S3 = {
    "endpoint": "http://minio.store.svc:9000",
    "bucket": "voices",
    "prefix": "en",
    "pathStyle": True,
    "files": [{"path": "heart.onnx", "sha256": SHA}],
    "secretRef": {"name": "voices-reader"},
}
HIBARI = {"family": "Hibari", "files": {"model": "heart.onnx"}}
CLAIM = {"persistentVolumeClaim": {"claimName": "voices", "path": "en/heart", "revision": "1"}}
IMAGE = {"image": {"reference": "registry.example/voices:1"}}
BUILT_IN = {"builtIn": "heart"}


def onnx_model(name: str = "espeak", source: Object | None = None, **spec: Any) -> TTSModel:
    """A model of family Hibari; by default with the voice in the image."""
    place = source or BUILT_IN
    options = {"family": "Hibari"} if "builtIn" in place else HIBARI
    return model(name, **{"engine": "Onnx", "source": place, "onnx": options, **spec})


def s3_source(**changes: Any) -> Object:
    return {"s3": {**S3, **changes}}


def observe_store(
    known: TTSModel | None = None,
    children: Sequence[Object] = (),
    credentials: SourceCredentials | None = None,
    **others: Any,
) -> Observed:
    """A tenant whose model has its files in an object store, by default with keys that the operator has read."""
    found = observe(known=[known or onnx_model(source=s3_source())], children=children, **others)
    return replace(found, source_credentials={"espeak": credentials or SourceCredentials({"": KEYS})})
