"""Audio samples inside the server: mono, 16 bit, the depth of every format that is served."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tts_server.errors import InvalidAudio

Samples = NDArray[np.int16]
"""Mono samples of shape (samples,)."""

FULL_SCALE = 32_767
"""The int16 value of a float of 1.0; -1.0 becomes the negative of it."""


def as_samples(audio: NDArray[Any]) -> Samples:
    """Convert an engine's samples: int16 unchanged, floats rounded and clipped to [-1, 1].

    Raises `InvalidAudio` for another shape than (samples,), and for floats that are not finite.
    """
    if audio.ndim != 1:
        raise InvalidAudio(f"The engine yielded samples of {audio.ndim} dimensions; there must be one.")
    if audio.dtype == np.int16:
        return audio
    if audio.size and not (audio.min() >= -1.0 and audio.max() <= 1.0):  # NaN is in no range
        if not np.isfinite(audio).all():
            raise InvalidAudio("The engine yielded samples that are not numbers.")
        audio = np.clip(audio, -1.0, 1.0)
    scaled = audio * np.float32(FULL_SCALE)
    return np.rint(scaled, out=scaled).astype(np.int16)


def as_floats(samples: Samples) -> NDArray[np.float32]:
    """Convert samples to floats in [-1, 1], for computations."""
    return samples.astype(np.float32) * np.float32(1 / FULL_SCALE)
