from __future__ import annotations

from pathlib import Path

import pytest

from tts_server.engines.cosyvoice.voices import Prompt, prompt_mode, prompt_text, speaker_mode
from tts_server.errors import EngineUnavailable

WAV = Path("a.wav")
ASSISTANT = "You are a helpful assistant."
PROMPTS = {
    # the story: (the prompt, version of the model, upstream's method, the text that it registers)
    "words": (Prompt(WAV, "Hello."), 1, "zero_shot", "Hello."),
    "no words": (Prompt(WAV), 2, "cross_lingual", ""),
    "words for 3": (Prompt(WAV, "Hello."), 3, "zero_shot", f"{ASSISTANT}<|endofprompt|>Hello."),
    "words with their own prompt": (Prompt(WAV, "Sing.<|endofprompt|>Hi."), 3, "zero_shot", "Sing.<|endofprompt|>Hi."),
    "a manner": (Prompt(WAV, "Hello.", "用四川话说这句话"), 2, "instruct2", "用四川话说这句话<|endofprompt|>"),
    "a manner for 3": (Prompt(WAV, "", "Fast."), 3, "instruct2", f"{ASSISTANT} Fast.<|endofprompt|>"),
    "a manner as upstream writes it": (
        Prompt(WAV, "", f"{ASSISTANT} Fast.<|endofprompt|>"), 3, "instruct2", f"{ASSISTANT} Fast.<|endofprompt|>"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("prompt", "version", "mode", "text"), PROMPTS.values(), ids=PROMPTS)
def test_how_a_recording_is_used(prompt: Prompt, version: int, mode: str, text: str) -> None:
    assert prompt_mode("a", prompt, version) == mode
    assert prompt_text(prompt, version) == text


def test_the_first_version_follows_no_manner() -> None:
    with pytest.raises(EngineUnavailable, match="Prompt anna has an instruction, which only CosyVoice 2 and 3 follow"):
        prompt_mode("anna", Prompt(WAV, "", "Fast."), 1)


def test_registered_prompts_of_the_weights_are_no_speakers() -> None:
    assert speaker_mode({"embedding": object()}) == "sft"
    assert speaker_mode({"llm_embedding": object(), "prompt_text": object()}) == "zero_shot"
