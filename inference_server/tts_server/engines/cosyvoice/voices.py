"""Voices of CosyVoice: the speakers of a model, and recordings that it imitates."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tts_server.errors import EngineUnavailable

LANGUAGES = ("zh", "en", "ja", "yue", "ko")
"""Languages of all models; CosyVoice 3 speaks more, which the configuration of its voices may name."""
SPEAKERS: Mapping[str, str] = {
    "中文女": "zh", "中文男": "zh", "日语男": "ja", "粤语女": "yue", "英文女": "en", "英文男": "en", "韩语女": "ko",
}  # fmt: skip
"""Speakers of CosyVoice-300M-SFT and -Instruct with the language of each, which is its best."""
END_OF_PROMPT = "<|endofprompt|>"
SYSTEM_PROMPT = f"You are a helpful assistant.{END_OF_PROMPT}"
"""Text with which every prompt of CosyVoice 3 begins, as in upstream's example.py."""

Mode = Literal["sft", "zero_shot", "cross_lingual", "instruct2"]
"""Upstream's method that speaks with a voice: `inference_<mode>`."""


@dataclass(frozen=True)
class Prompt:
    """A recording of a speaker. Neither text nor instruction: only the voice is taken from it."""

    wav: Path
    """At most 30 s, at least 16,000 Hz."""
    text: str = ""
    """Words of the recording."""
    instruction: str = ""
    """How to speak, such as `用四川话说这句话`; the words of the recording are not used then."""


@dataclass(frozen=True)
class CosyVoiceSpeaker:
    """How a voice is spoken."""

    mode: Mode
    adapter: str | None = None


def speaker_mode(entry: Mapping[str, Any]) -> Mode:
    """Return how a speaker of `spk2info.pt` is spoken: upstream's own have an embedding, registered prompts more."""
    return "sft" if "embedding" in entry else "zero_shot"


def prompt_mode(name: str, prompt: Prompt, version: int) -> Mode:
    """Return how a recording is used. Raises `EngineUnavailable` if the model cannot follow an instruction."""
    if prompt.instruction:
        if version < 2:
            raise EngineUnavailable(
                f"Prompt {name} has an instruction, which only CosyVoice 2 and 3 follow: leave it out."
            )
        return "instruct2"
    return "zero_shot" if prompt.text else "cross_lingual"


def prompt_text(prompt: Prompt, version: int) -> str:
    """Return the text to register a recording with."""
    text = prompt.instruction or prompt.text
    if prompt.instruction:
        text = text if text.endswith(END_OF_PROMPT) else f"{text}{END_OF_PROMPT}"
        return text if version < 3 or text.startswith("You are") else f"You are a helpful assistant. {text}"
    return f"{SYSTEM_PROMPT}{text}" if version >= 3 and text and END_OF_PROMPT not in text else text
