"""An engine's `pause_scales` as a header between pools: `0.5=2.75, 1=1, 2=0.13`, speeds and lengths of pauses."""

import math
from collections.abc import Mapping

NAME = "X-TTS-Pause-Scales"
MOST_SPEEDS = 64


def encode(scales: Mapping[float, float]) -> str:
    """The header's value; empty for an engine that does not say."""
    return ", ".join(f"{speed:.6g}={scale:.6g}" for speed, scale in sorted(scales.items()))


def decode(value: str) -> dict[float, float]:
    """The mapping; empty for a missing or malformed value: pauses then shorten as words do."""
    pairs = [pair.partition("=") for pair in value.split(",", MOST_SPEEDS)]
    try:
        scales = {float(speed): float(scale) for speed, _, scale in pairs}
    except ValueError:
        return {}
    valid = len(pairs) <= MOST_SPEEDS and all(
        math.isfinite(speed) and speed > 0 and math.isfinite(scale) and scale >= 0 for speed, scale in scales.items()
    )
    return scales if valid else {}
