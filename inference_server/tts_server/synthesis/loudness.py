"""Gives all voices of a reply the loudness of its first voice: no word is louder for being in another language.

Loudness is measured as in ITU-R BS.1770-5: K-weighted power of blocks of 400 ms, gated at -70 LKFS and at 10 LU below
their mean. A voice has about the same loudness whatever it says, so that it is measured once: on the audio of the
replies in which it meets another voice. Until there is enough of that, the first seconds of the voice are held back,
which is seldom noticed: other audio is playing then. The gain of a voice never changes inside a reply.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tts_server.samples import FULL_SCALE, Samples, as_floats

ENOUGH_SECONDS = 2.0
"""Audio after which the loudness of a voice is known well enough."""
MOST_SECONDS = 5.0
"""Audio that is measured of a voice."""
LARGEST_GAIN_DB = 12.0
"""More would be the noise of a voice that whispers, or of one that is broken."""
KNEE = 0.8
"""Level above which louder samples are compressed, relative to full scale: none of them is cut off."""

_BLOCK_SECONDS, _STEP_SECONDS = 0.4, 0.1
_ABSOLUTE_GATE_LKFS, _RELATIVE_GATE_LU = -70.0, -10.0
_OFFSET_LKFS = -0.691
_NO_SAMPLES: Samples = np.zeros(0, np.int16)


class LoudnessMeter:
    """Measures the loudness of one voice over its audio, up to `MOST_SECONDS` of it."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._sample_rate_hz = sample_rate_hz
        self._parts: list[Samples] = []
        self.seconds = 0.0
        """Duration of the audio so far."""
        self._measured: tuple[float, float | None] = (0.0, None)
        """Duration that was measured last, and its loudness."""

    def feed(self, samples: Samples) -> None:
        """Add audio."""
        if self.seconds < MOST_SECONDS and samples.size:
            self._parts.append(samples)
            self.seconds += samples.size / self._sample_rate_hz

    @property
    def loudness_lkfs(self) -> float | None:
        """The loudness of the audio so far; None if it is silent or shorter than a block."""
        if self._measured[0] != self.seconds:
            whole = np.concatenate(self._parts)
            self._measured = self.seconds, loudness_lkfs(whole, self._sample_rate_hz)
            self._parts = [whole] if self.seconds < MOST_SECONDS else []
        return self._measured[1]


class LoudnessMeters:
    """The meters of one engine's voices. Replies share them, so that most know the loudness of a voice at once."""

    def __init__(self) -> None:
        self._meters: dict[tuple[str, int], LoudnessMeter] = {}

    def of(self, voice: str, sample_rate_hz: int) -> LoudnessMeter:
        """Return the meter of a voice whose audio has that rate."""
        return self._meters.setdefault((voice, sample_rate_hz), LoudnessMeter(sample_rate_hz))


class LoudnessMatch:
    """Scales the audio of one reply. The first voice that begins is the reference, and stays as it is."""

    def __init__(self) -> None:
        self._reference: LoudnessMeter | None = None
        self._gains: dict[LoudnessMeter, float] = {}

    def begin(self, meter: LoudnessMeter) -> "MatchedAudio":
        """Return what scales the next utterance, which is in the voice of that meter."""
        if self._reference is None:
            self._reference = meter
            self._gains[meter] = 1.0
        return MatchedAudio(self, meter)

    def gain(self, meter: LoudnessMeter, *, ended: bool) -> float | None:
        """Return the factor for that voice; None if more of its audio is needed, unless there is no more."""
        if meter not in self._gains and (ended or meter.seconds >= ENOUGH_SECONDS):
            wanted = self._reference.loudness_lkfs if self._reference is not None else None
            own = meter.loudness_lkfs
            if wanted is None or own is None:
                return 1.0  # nothing to compare: a later utterance may have more to say
            difference_db = min(max(wanted - own, -LARGEST_GAIN_DB), LARGEST_GAIN_DB)
            self._gains[meter] = float(10 ** (difference_db / 20))
        return self._gains.get(meter)


class MatchedAudio:
    """The audio of one utterance in, scaled audio out."""

    def __init__(self, match: LoudnessMatch, meter: LoudnessMeter) -> None:
        self._match = match
        self._meter = meter
        self._held: list[Samples] = []
        self._gain: float | None = None

    def feed(self, samples: Samples) -> Samples:
        """Return what may be sent now: nothing, while the loudness of the voice is not known."""
        self._meter.feed(samples)
        return self._scaled(samples, ended=False)

    def finish(self) -> Samples:
        """Return what was held back."""
        return self._scaled(_NO_SAMPLES, ended=True)

    def _scaled(self, samples: Samples, *, ended: bool) -> Samples:
        if self._gain is None:
            self._held.append(samples)
            self._gain = self._match.gain(self._meter, ended=ended)
            if self._gain is None:
                return _NO_SAMPLES
            samples = np.concatenate(self._held)
            self._held.clear()
        return scaled(samples, self._gain)


def scaled(samples: Samples, gain: float) -> Samples:
    """Return the samples times `gain`; those that would leave the range are compressed instead of cut off."""
    if gain == 1.0 or samples.size == 0:
        return samples
    louder = samples.astype(np.float32) * (gain / FULL_SCALE)
    if gain > 1.0:
        size = np.abs(louder)
        over = size > KNEE
        if over.any():
            room = 1.0 - KNEE
            louder[over] = np.sign(louder[over]) * (KNEE + room * np.tanh((size[over] - KNEE) / room))
    whole: Samples = np.rint(louder * FULL_SCALE).astype(np.int16)
    return whole


def loudness_lkfs(samples: Samples, sample_rate_hz: int) -> float | None:
    """Return the integrated loudness of mono audio; None if it is silent or shorter than a block."""
    return float_loudness_lkfs(as_floats(samples), sample_rate_hz)


def float_loudness_lkfs(samples: NDArray[np.float32], sample_rate_hz: int) -> float | None:
    """Return the same of samples whose full scale is 1.0, which they may exceed.

    Blocks are weighted by their spectra: the sum over frequencies is the sum over samples (Parseval), and the filters
    need no loop over samples.
    """
    size, step = round(_BLOCK_SECONDS * sample_rate_hz), round(_STEP_SECONDS * sample_rate_hz)
    if samples.size < size:
        return None
    blocks = np.lib.stride_tricks.sliding_window_view(samples, size)[::step]
    spectra = np.abs(np.fft.rfft(blocks, axis=1)) ** 2
    spectra[:, 1:] *= 2  # the negative frequencies; that of the last one is far beyond speech
    powers = (spectra @ _weights(size, sample_rate_hz)) / size**2
    loud = powers[powers > _power(_ABSOLUTE_GATE_LKFS)]
    if loud.size == 0:
        return None
    loud = loud[loud > _power(_lkfs(float(loud.mean())) + _RELATIVE_GATE_LU)]
    return _lkfs(float(loud.mean()))


@lru_cache(maxsize=8)
def _weights(size: int, sample_rate_hz: int) -> NDArray[np.float64]:
    """Return the power response of the two filters of BS.1770, annex 1, at each frequency of a block's spectrum.

    The standard has coefficients for 48 kHz; these are the analogue filters behind them, for any rate.
    """
    z = np.exp(-2j * np.pi * np.fft.rfftfreq(size))
    shelf = _high_shelf(z, 1681.974450955533, 3.999843853973347, 0.7071752369554196, sample_rate_hz)
    high_pass = _high_pass(z, 38.13547087602444, 0.5003270373238773, sample_rate_hz)
    weights: NDArray[np.float64] = np.abs(shelf * high_pass) ** 2
    return weights


def _high_shelf(
    z: NDArray[np.complex128], center_hz: float, gain_db: float, q: float, sample_rate_hz: int
) -> NDArray[np.complex128]:
    k = math.tan(math.pi * center_hz / sample_rate_hz)
    high = 10 ** (gain_db / 20)
    band = high**0.4996667741545416
    numerator = (high + band * k / q + k * k) + 2 * (k * k - high) * z + (high - band * k / q + k * k) * z**2
    response: NDArray[np.complex128] = numerator / _denominator(z, k, q)
    return response


def _high_pass(z: NDArray[np.complex128], center_hz: float, q: float, sample_rate_hz: int) -> NDArray[np.complex128]:
    k, standard_k = (math.tan(math.pi * center_hz / rate_hz) for rate_hz in (sample_rate_hz, 48_000))
    # The standard's numerator is exactly 1, -2, 1 at 48 kHz, which amplifies by this; so it does at other rates.
    amplification = 1 + standard_k / q + standard_k**2
    response: NDArray[np.complex128] = amplification * (1 - 2 * z + z**2) / _denominator(z, k, q)
    return response


def _denominator(z: NDArray[np.complex128], k: float, q: float) -> NDArray[np.complex128]:
    polynomial: NDArray[np.complex128] = (1 + k / q + k * k) + 2 * (k * k - 1) * z + (1 - k / q + k * k) * z**2
    return polynomial


def _power(lkfs: float) -> float:
    return float(10 ** ((lkfs - _OFFSET_LKFS) / 10))


def _lkfs(power: float) -> float:
    return _OFFSET_LKFS + 10 * math.log10(power)
