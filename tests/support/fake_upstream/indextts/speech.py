"""Audio of the fakes: 50 ms per character, and the two places at which upstream can be ended."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"
import time

import numpy as np
from failures import fail_as_named

PART = 20
"""Characters of a part."""


def part_of(text, rate, level, generation_kwargs, progress):
    """Return the samples of a part, in upstream's range and shape."""
    fail_as_named(text)
    progress(0.2, "speech synthesis...")
    for step in range(100_000 if text == "stall" else len(text)):
        for criterion in generation_kwargs.get("stopping_criteria", ()):
            criterion(step, None)
        if text == "stall":
            time.sleep(0.01)
    seconds = np.arange(int(0.05 * rate)) / rate
    samples = np.concatenate([np.sin(2 * np.pi * (200 + ord(character) % 600) * seconds) for character in text])
    return np.clip(32767 * level * samples * (np.nan if text == "nan" else 1), -32767.0, 32767.0)[np.newaxis]


def parts_of(text):
    return [text[start : start + PART] for start in range(0, len(text), PART)]
