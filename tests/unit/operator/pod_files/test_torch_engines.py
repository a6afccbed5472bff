from __future__ import annotations

from typing import Any

from tests.support.resources import model_body
from tts_operator.api import TTSModel
from tts_operator.pod_files.engine import local_engine

RESOURCES = {"requests": {"cpu": "4", "memory": "8Gi"}}
GPU = {"requests": {"cpu": "4"}, "limits": {"memory": "8Gi", "nvidia.com/gpu": 1}}


def model(**spec: Any) -> TTSModel:
    precisions = [{"name": "fp16", "resources": GPU}, {"name": "fp32", "resources": RESOURCES}]
    source = {"persistentVolumeClaim": {"claimName": "models"}}
    return TTSModel.model_validate(model_body(source=source, precisions=precisions, **spec))


def test_paths_of_the_source_become_paths_in_the_pod() -> None:
    cosyvoice = model(
        engine="CosyVoice",
        cosyVoice={
            "modelPath": "CosyVoice2-0.5B",
            "codePath": "CosyVoice",
            "prompts": [{"voice": "clone", "wav": "voices/a.wav", "text": "Hello."}],
        },
    )
    engine = local_engine(cosyvoice, "fp32")
    assert engine.type == "CosyVoice"
    assert engine.options == {
        "model_directory": "/srv/ttsfleet/model/CosyVoice2-0.5B",
        "code_directory": "/srv/ttsfleet/model/CosyVoice",
        "fp16": False,
        "load_jit": False,
        "load_trt": False,
        "stream": True,
        "prompts": {"clone": {"wav": "/srv/ttsfleet/model/voices/a.wav", "text": "Hello.", "instruction": ""}},
        "adapters": {},
        "voice_adapters": {},
    }


def test_a_device_has_one_process_and_the_precision_is_an_option() -> None:
    cosyvoice = model(engine="CosyVoice", cosyVoice={"modelPath": "CosyVoice2-0.5B"})
    on_device, on_cpu = local_engine(cosyvoice, "fp16"), local_engine(cosyvoice, "fp32")
    assert (on_device.processes, on_device.options["fp16"]) == (1, True)
    assert (on_cpu.processes, on_cpu.options["fp16"]) == (4, False)
    assert on_device.options["code_directory"] is None


def test_emotions_are_percentages() -> None:
    prompt = {
        "voice": "anna",
        "wav": "anna.wav",
        "emotionPercent": [50, 0, 0, 0, 0, 0, 0, 10],
        "emotionWeightPercent": 60,
    }
    engine = local_engine(model(engine="IndexTTS", indexTTS={"prompts": [prompt]}), "fp32")
    anna = engine.options["prompts"]["anna"]
    assert anna["emotion_strengths"] == [0.5, 0, 0, 0, 0, 0, 0, 0.1]
    assert anna["emotion_weight"] == 0.6
    assert engine.load_seconds == 540


def test_other_engines_have_neither() -> None:
    engine = local_engine(TTSModel.model_validate(model_body()), "fp32")
    assert (engine.type, engine.options, engine.load_seconds) == ("Espeak", {}, None)
