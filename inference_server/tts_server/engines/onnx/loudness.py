"""Makes the voices of Kokoro equally loud: a gain for each, measured once after ITU-R BS.1770."""

import json
from functools import cache
from pathlib import Path

from tts_server.engines.voice_blend import Blend

GAINS_FILE = Path(__file__).with_name("kokoro_gains.json")
"""Written by `python -m hack.kokoro_gains`."""


def gain(blend: Blend) -> float:
    """Return the factor for the samples of a voice or blend; 1 for a voice that was not measured."""
    decibels = sum(weight * _gains_decibels().get(voice, 0.0) for voice, weight in blend)
    return float(10 ** (decibels / 20))


@cache
def _gains_decibels() -> dict[str, float]:
    gains: dict[str, float] = json.loads(GAINS_FILE.read_text("utf-8"))["gains_decibels"]
    return gains
