"""The one resampler: soxr after the engine, streaming, with nothing lost at the ends."""

from typing import cast

import numpy as np
import soxr
from numpy.typing import NDArray

Samples = NDArray[np.float32]


class Resampler:
    """Mono float32 from one rate to another, in parts of any size: parts change nothing about the sound.

    The whole output has `round(samples * to_hz / from_hz)` samples. soxr's HQ quality: 20 bits, pass band to 91 %.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._stream = None if from_hz == to_hz else soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")

    def feed(self, samples: Samples) -> Samples:
        """What is ready after these samples: it lags a few milliseconds behind."""
        if self._stream is None:
            return samples
        return cast("Samples", self._stream.resample_chunk(samples))

    def finish(self) -> Samples:
        """The rest. The resampler is used up."""
        if self._stream is None:
            return np.zeros(0, np.float32)
        return cast("Samples", self._stream.resample_chunk(np.zeros(0, np.float32), last=True))
