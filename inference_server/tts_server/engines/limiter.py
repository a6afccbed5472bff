"""Keeps samples below full scale without clipping: the gain falls smoothly before a peak and rises after it."""

import numpy as np
from numpy.typing import NDArray

FloatSamples = NDArray[np.float32]
"""Mono samples of shape (samples,), 1.0 is full scale; those to be limited may exceed it."""
CEILING = 0.95
"""Highest sample, about -0.4 dBFS: what an encoder adds between samples has room."""
LOOK_AHEAD_SECONDS = 0.015
"""One period of a voice of 67 Hz: within it the gain follows the loudest period, not each swing of one."""


def limited(samples: FloatSamples, sample_rate_hz: int) -> FloatSamples:
    """Limit samples that are there all at once."""
    if np.abs(samples).max(initial=0.0) <= CEILING:  # as most are
        return samples
    limiter = Limiter(sample_rate_hz)
    return np.concatenate((limiter.process(samples), limiter.finish()))


class Limiter:
    """Limits a stream in parts: the result does not depend on where the parts are cut.

    Each sample's gain is the mean, over the look-ahead to both sides, of the least gain that any sample within the
    look-ahead needs: so no sample exceeds the ceiling, and the gain changes no faster than the look-ahead allows.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._reach = max(1, int(LOOK_AHEAD_SECONDS * sample_rate_hz))
        # The gain of a sample depends on this many samples to both sides.
        self._context = 2 * self._reach
        self._held = np.zeros(0, np.float32)
        """Context before the next sample, that sample, and those behind it which still lack context."""
        self._past = 0
        """How many samples of `_held` have been returned: context only."""

    def process(self, samples: FloatSamples) -> FloatSamples:
        """Take the next samples; return those whose gain is known, which are fewer by the look-ahead."""
        self._held = np.concatenate((self._held, samples))
        return self._take(self._held.size - self._context)

    def finish(self) -> FloatSamples:
        """Return the last samples, and begin anew."""
        last = self._take(self._held.size)
        self._held, self._past = np.zeros(0, np.float32), 0
        return last

    def _take(self, end: int) -> FloatSamples:
        if end <= self._past:
            return np.zeros(0, np.float32)
        taken = self._held[self._past : end]
        beginning = max(0, self._past - self._context)
        window = self._held[beginning : end + self._context]
        if np.abs(window).max(initial=0.0) > CEILING:  # most speech needs none of this
            gains = _smooth_gains(window, self._reach)
            taken = taken * gains[self._past - beginning : end - beginning]
        kept = max(0, end - self._context)
        self._held = self._held[kept:]
        self._past = end - kept
        return taken


def _smooth_gains(samples: FloatSamples, reach: int) -> FloatSamples:
    """Return the gain of each sample, as `Limiter` defines it; beyond the ends the gain is 1."""
    needed = np.minimum(1.0, CEILING / np.maximum(np.abs(samples), CEILING))
    width = 2 * reach + 1
    padded = np.pad(needed, 2 * reach, constant_values=1.0)
    least = _sliding_least(padded, width)
    # Running sums lose precision: in double, and never above what the sample itself needs.
    sums = np.concatenate(([0.0], np.cumsum(least, dtype=np.float64)))
    mean = (sums[width:] - sums[:-width]) / width
    return np.minimum(mean, needed).astype(np.float32)


def _sliding_least(values: FloatSamples, width: int) -> FloatSamples:
    """Return the least of each `width` values in a row, by windows of twice the width from one step to the next."""
    span = 1
    while 2 * span <= width:
        values = np.minimum(values[:-span], values[span:])
        span *= 2
    rest = width - span
    return np.minimum(values[:-rest], values[rest:]) if rest else values
