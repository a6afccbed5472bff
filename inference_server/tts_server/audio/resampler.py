"""The one resampler: soxr, streaming, used behind the engine."""

import numpy as np
import soxr

from tts_server.samples import Samples, as_floats, as_samples


class Resampler:
    """Resamples mono audio, in parts of any size: how it is cut into parts does not change the result.

    The whole output has `round(samples * to_hz / from_hz)` samples. soxr's HQ quality: 20 bits, pass band to 91 %. It
    overshoots a little at full scale, and is clipped there.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        # Floats, because soxr dithers integers.
        self._stream = None if from_hz == to_hz else soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")

    def feed(self, samples: Samples) -> Samples:
        """Return the samples that are ready: the output lags a few milliseconds behind."""
        if self._stream is None:
            return samples
        return as_samples(self._stream.resample_chunk(as_floats(samples)))

    def finish(self) -> Samples:
        """Return the rest. The resampler cannot be used after that."""
        if self._stream is None:
            return np.zeros(0, np.int16)
        return as_samples(self._stream.resample_chunk(np.zeros(0, np.float32), last=True))
