"""Measures how often the language of a text is detected, on 200 texts in ten languages that a tenant routes.

A text counts if all of its segments are in its language. The default language is English. Texts of fewer than 20
letters take the default, unless their script tells. The model is loaded in a process of its own.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

from bench.figures import Figure
from tests.support.text_tables import texts_by_language
from tts_server.text import segments
from tts_server.text.language_detection import FEWEST_LETTERS
from tts_server.text.statistical_model import load

LANGUAGES = ("en", "de", "es", "fr", "it", "pt", "nl", "pl", "zh", "ja")
ROUNDS = 20


def measure() -> list[Figure]:
    cost = subprocess.run([sys.executable, "-m", "bench.language_accuracy"], check=True, capture_output=True, text=True)
    load_seconds, memory_megabytes = map(float, cost.stdout.split())
    identify = load()
    texts = texts_by_language()
    begun = time.process_time()
    for _ in range(ROUNDS):
        found = [
            segments(text, default_language="en", routed_languages=LANGUAGES, identify=identify) for _, text in texts
        ]
    seconds = (time.process_time() - begun) / ROUNDS / len(texts)
    figures = []
    for what, is_long in ((f"{FEWEST_LETTERS} letters and more", True), ("fewer letters", False)):
        right = [
            {segment.language for segment in one} == {language}
            for (language, text), one in zip(texts, found, strict=True)
            if (sum(map(str.isalpha, text)) >= FEWEST_LETTERS) is is_long
        ]
        figures.append(
            Figure(f"texts of {what} in the right language", 100 * sum(right) / len(right), "%", f"of {len(right)}")
        )
    return [
        *figures,
        Figure("CPU time to split a text, detection included", seconds * 1e6, "µs"),
        Figure("CPU time to load the model", load_seconds, "s"),
        Figure("memory of the model", memory_megabytes, "MB"),
    ]


def resident_megabytes() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - one line
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


if __name__ == "__main__":
    before, started = resident_megabytes(), time.process_time()
    model = load()
    model("Load all of it.")
    print(time.process_time() - started, resident_megabytes() - before)
