"""Sound inside the server: mono, 16 bit, the depth of every format that is served."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tts_server.errors import InvalidAudio

Samples = NDArray[np.int16]
"""Mono sound of shape (samples,)."""

FULL_SCALE = 32_767
"""The sample that a float of 1.0 becomes, and minus that one of -1.0."""


def as_samples(sound: NDArray[Any]) -> Samples:
    """`sound` as it travels: int16 as it is, floats in [-1, 1] rounded, and clipped where they are louder.

    Raises `InvalidAudio` for what has another shape than (samples,), and for floats that are no numbers.
    """
    if sound.ndim != 1:
        raise InvalidAudio(f"The engine yielded samples of {sound.ndim} dimensions; they must have one.")
    if sound.dtype == np.int16:
        return sound
    if sound.size and not (sound.min() >= -1.0 and sound.max() <= 1.0):  # NaN is in no range
        if not np.isfinite(sound).all():
            raise InvalidAudio("The engine yielded samples that are not numbers.")
        sound = np.clip(sound, -1.0, 1.0)
    scaled = sound * np.float32(FULL_SCALE)
    return np.rint(scaled, out=scaled).astype(np.int16)


def as_floats(samples: Samples) -> NDArray[np.float32]:
    """The inverse, for what computes with sound."""
    return samples.astype(np.float32) * np.float32(1 / FULL_SCALE)
