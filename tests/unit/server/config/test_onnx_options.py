"""Options of engine Onnx: what its constructor gets at each precision, and which processes a model needs."""

import pytest
from pydantic import ValidationError

from tts_server.app.build import _computed_precisions
from tts_server.cache.key import weights
from tts_server.config.schema import LocalEngine, ModelConfig, OnnxConfig, Precision

ENGINE = LocalEngine.model_validate(
    {
        "type": "Onnx",
        "onnx": {
            "family": "Kokoro",
            "files": {"model": "int8.onnx", "voices": "voices"},
            "precisionFiles": {"fp32": {"model": "fp32.onnx"}},
            "sessionOptions": {"memoryArena": "Kept"},
        },
    }
)


def test_a_precision_replaces_the_files_that_it_names() -> None:
    common = {"family": "Kokoro", "session_options": {"memory_arena": "Kept"}}
    assert ENGINE.options_of(Precision.INT8) == common | {"files": {"model": "int8.onnx", "voices": "voices"}}
    assert ENGINE.options_of(Precision.FP32) == common | {"files": {"model": "fp32.onnx", "voices": "voices"}}
    assert LocalEngine().options_of(Precision.FP32) == {}


@pytest.mark.parametrize(
    ("default", "allowed", "computed"),
    [
        ("int8", ["int8"], ["int8"]),
        ("int8", ["int8", "fp32"], ["int8", "fp32"]),
        ("fp32", ["fp32", "fp16"], ["fp32"]),
        ("fp32", ["int8", "fp32"], ["fp32"]),
    ],
    ids=["one", "two", "fp16 has no files of its own", "int8 has no files of its own"],
)
def test_processes_are_started_for_precisions_with_files(default: str, allowed: list[str], computed: list[str]) -> None:
    model = ModelConfig(name="k", engine=ENGINE, precision=Precision(default), allowed_precisions=tuple(allowed))  # type: ignore[arg-type]
    assert _computed_precisions(model) == computed
    assert _computed_precisions(model.model_copy(update={"engine": LocalEngine()})) == [default]


def test_the_key_of_cached_audio_follows_the_files_of_a_precision() -> None:
    def key(path: str) -> str:
        onnx = OnnxConfig.model_validate({"family": "Hibari", "precisionFiles": {"fp32": {"model": path}}})
        return weights(ModelConfig(name="heart", engine=LocalEngine(type="Onnx", onnx=onnx)))

    assert key("one.onnx") != key("other.onnx")


@pytest.mark.parametrize(
    "options",
    [
        {"sessionOptions": {"device": "TPU"}},
        {"sessionOptions": {"graphOptimizationLevel": "Most"}},
        {"adapters": [{"name": "calm", "file": "x", "voices": {}}]},
        {"noiseScale": -1},
    ],
    ids=lambda options: next(iter(options)),
)
def test_values_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        OnnxConfig.model_validate({"family": "Hibari"} | options)
