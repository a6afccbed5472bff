from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tts_server.config.schema import LocalEngine

COSYVOICE = {"modelDirectory": "/models/CosyVoice-300M-SFT", "codeDirectory": "/models/CosyVoice"}
INDEX_TTS = {"modelDirectory": "/models/IndexTTS-2", "prompts": {"anna": {"wav": "/models/anna.wav"}}}


def test_options_become_keyword_arguments() -> None:
    prompts = {"clone": {"wav": "/models/a.wav", "text": "Hello."}}
    engine = LocalEngine.model_validate(
        {"type": "CosyVoice", "cosyVoice": {**COSYVOICE, "fp16": True, "prompts": prompts}}
    )
    assert engine.options == {
        "model_directory": "/models/CosyVoice-300M-SFT",
        "code_directory": "/models/CosyVoice",
        "fp16": True,
        "prompts": {"clone": {"wav": "/models/a.wav", "text": "Hello."}},
    }
    assert LocalEngine.model_validate({"type": "IndexTTS", "indexTTS": INDEX_TTS}).options["prompts"] == {
        "anna": {"wav": "/models/anna.wav"}
    }
    assert LocalEngine().options == {}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no options": ({"type": "CosyVoice"}, "cosyVoice must be set for type CosyVoice, and for no other"),
    "another engine's options": ({"type": "Espeak", "indexTTS": INDEX_TTS}, "indexTTS must be set for type IndexTTS"),
    "no recording": ({"type": "IndexTTS", "indexTTS": {**INDEX_TTS, "prompts": {}}}, "at least 1 item"),
    "an unknown adapter": (
        {"type": "CosyVoice", "cosyVoice": {**COSYVOICE, "voiceAdapters": {"clone": "legal"}}},
        "voice clone names adapter legal, which is not in adapters",
    ),
    "two emotions": (
        {
            "type": "IndexTTS",
            "indexTTS": {
                **INDEX_TTS,
                "prompts": {"anna": {"wav": "/a.wav", "emotionWav": "/b.wav", "emotionStrengths": [0.1] * 8}},
            },
        },
        "set either emotionWav or emotionStrengths",
    ),
}


@pytest.mark.parametrize(("content", "complaint"), WRONG.values(), ids=WRONG)
def test_wrong_options_are_named(content: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        LocalEngine.model_validate(content)
