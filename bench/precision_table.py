"""Writes docs/precisions.md: what each precision of the neural voices costs here, and how it sounds.

`python -m bench.precision_table [--sentences N] [MODEL ...]`. Rows of models that are not named stay as they are.

Each precision runs in one worker process with one thread and speaks the same sentences. Requests per second and the
real-time factor are counted in CPU time of that process, so that other work on the machine does not change them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.__main__ import where
from bench.judge import heard, overall_quality
from bench.servers import cpu_seconds_of
from bench.voices import GRAPHS, VOICES
from hack.dequantize import dequantize
from tests.support.proportional_memory import proportional_bytes
from tests.support.speech_recognizer import words, wrong_words
from tts_server.inference.client import Samples, Utterance
from tts_server.inference.pool.worker_pool import WorkerPool

PAGE = Path(__file__).parents[1] / "docs" / "precisions.md"
PRECISIONS: Mapping[str, Sequence[str]] = {"heart": ("int8", "fp32"), "kokoro": ("int8", "fp32"), "joe": ("fp32",)}
SENTENCES = (
    "Your appointment with the doctor has been moved to Thursday afternoon.",
    "Please keep your seat belt fastened while the sign is on.",
    "Thank you for calling. Somebody will be with you in a moment.",
    "She bought fresh bread and a bottle of milk at the market this morning.",
    "The train to the airport leaves from the second platform every half hour.",
    "Could you tell me where I can find the nearest post office?",
    "Heavy rain is expected tonight, with strong winds along the coast.",
    "A small group of students walked slowly across the old stone bridge.",
)
MEBIBYTE = 1024 * 1024
HEAD = """\
# Precisions of the neural voices

Written by `make precision-table`. Each row is one worker process with one thread that speaks English sentences;
requests per second are of one core, counted in its CPU time. First audio is wall time, and grows with what else the
machine does. Wrong words are those that Whisper base hears otherwise; DNSMOS is an estimate of how listeners would rate
the sound, from 1 to 5.

`fp32` of a model whose weights are published as int8 is made by `python -m hack.dequantize`: it has int8's weights as
floats. It costs what fp32 costs, and tells nothing about how the original fp32 weights sound.

| model | precision | requests/s of a core | real-time factor | first audio, ms | memory, MiB | wrong words | DNSMOS |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One model at one precision."""

    model: str
    precision: str
    requests_per_second: float
    real_time_factor: float
    first_audio_milliseconds: float
    memory_mebibytes: float
    wrong: float
    dnsmos: float

    def __str__(self) -> str:
        return (
            f"| {self.model} | {self.precision} | {self.requests_per_second:.3g} | {self.real_time_factor:.3f} | "
            f"{self.first_audio_milliseconds:.0f} | {self.memory_mebibytes:.0f} | {self.wrong:.1%} | "
            f"{self.dnsmos:.2f} |"
        )


def main(arguments: list[str] | None = None) -> int:
    known = [name for name in PRECISIONS if name in VOICES]
    parser = argparse.ArgumentParser(prog="python -m bench.precision_table", description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(known)}; default: all")
    parser.add_argument(
        "--sentences", type=int, default=len(SENTENCES), metavar="N", help="number of sentences (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    sections = read_sections(PAGE.read_text("utf-8")) if PAGE.exists() else {}
    for model in options.models or known:
        rows, sentences, load = [], SENTENCES[: options.sentences], os.getloadavg()[0]
        for precision in PRECISIONS[model]:
            row = asyncio.run(measured(model, precision, sentences))
            print(row, flush=True)
            rows.append(str(row))
        note = f"- `{model}`: {len(sentences)} sentences, {where()}; load {load:.0f} before"
        sections[model] = Section(tuple(rows), note)
    PAGE.write_text(page(sections), "utf-8")
    return 0


@dataclass(frozen=True, slots=True)
class Section:
    """Part of the page about one model."""

    rows: tuple[str, ...]
    note: str
    """Place and time of the measurement."""


def read_sections(text: str) -> dict[str, Section]:
    """Read what the page says of each model."""
    rows = {model: [row for row in text.splitlines() if row.startswith(f"| {model} |")] for model in PRECISIONS}
    notes = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("- `")}
    return {model: Section(tuple(found), notes.get(model, "")) for model, found in rows.items() if found}


def page(sections: Mapping[str, Section]) -> str:
    """Write the page, in the order of `PRECISIONS`."""
    found = [sections[model] for model in PRECISIONS if model in sections]
    rows = [row for section in found for row in section.rows]
    notes = [section.note for section in found if section.note]
    return HEAD + "\n".join([*rows, "", "Measured:", "", *notes]) + "\n"


async def measured(model: str, precision: str, sentences: Sequence[str]) -> Row:
    """Speak the sentences and judge them."""
    options, voice = VOICES[model]
    with tempfile.TemporaryDirectory(prefix="ttsfleet-precision-") as folder:
        if precision != PRECISIONS[model][0]:
            file = Path(folder) / f"{precision}.onnx"
            dequantize(GRAPHS[model][0], file, precision)
            options = {**options, "files": {**options.get("files", {}), "model": str(file)}}
        return await of_pool((model, precision), options, voice, sentences)


async def of_pool(named: tuple[str, str], options: Mapping[str, Any], voice: str, sentences: Sequence[str]) -> Row:
    pool = WorkerPool("onnx", options=options, first_audio_timeout_seconds=120)
    await pool.start()
    try:
        (pid,) = pool.pids
        firsts, spoken, memory = [], [], 0
        used = cpu_seconds_of(pid)
        for sentence in sentences:
            begun, parts = time.perf_counter(), list[Samples]()
            async for part in pool.speak(Utterance(sentence, voice)):
                firsts += [time.perf_counter() - begun] if not parts else []
                parts.append(part)
            spoken.append(np.concatenate(parts))
            memory = max(memory, proportional_bytes(pid))
        used = cpu_seconds_of(pid) - used
    finally:
        await pool.stop()
    seconds = sum(samples.size for samples in spoken) / pool.sample_rate_hz
    pairs = list(zip(sentences, spoken, strict=True))
    wrong = sum(wrong_words(sentence, heard(samples, pool.sample_rate_hz)) for sentence, samples in pairs)
    return Row(
        *named,
        requests_per_second=len(sentences) / used,
        real_time_factor=used / seconds,
        first_audio_milliseconds=statistics.median(firsts) * 1000,
        memory_mebibytes=memory / MEBIBYTE,
        wrong=wrong / sum(len(words(sentence)) for sentence in sentences),
        dnsmos=statistics.mean(overall_quality(samples, pool.sample_rate_hz) for samples in spoken),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
