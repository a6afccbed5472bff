"""Integrated loudness after ITU-R BS.1770-5, in LUFS, of mono audio."""

import numpy as np
from numpy.typing import NDArray

BLOCK_SECONDS, STEP_SECONDS = 0.4, 0.1
ABSOLUTE_GATE_LUFS, RELATIVE_GATE_LU = -70.0, -10.0
# The two filters of annex 1 as analogue prototypes, so that they hold at any sample rate: centre frequency in hertz,
# quality, and for the shelf its gain in decibels. After Brecht De Man, "Evaluation of implementations of the EBU R128
# loudness measurement", AES 145 (2018).
SHELF_HZ, SHELF_Q, SHELF_DECIBELS, SHELF_EXPONENT = (
    1681.974450955533,
    0.7071752369554196,
    3.999843853973347,
    0.4996667741545416,
)
HIGH_PASS_HZ, HIGH_PASS_Q = 38.13547087602444, 0.5003270373238773

Numbers = NDArray[np.float64]


def loudness(samples: NDArray[np.float32], sample_rate_hz: int) -> float:
    """Return the integrated loudness; -inf for silence, and for audio shorter than a block of 0.4 s."""
    powers = _block_powers(_weighted(samples.astype(np.float64), sample_rate_hz), sample_rate_hz)
    loud = powers[_lufs(powers) > ABSOLUTE_GATE_LUFS]
    if loud.size == 0:
        return float("-inf")
    loud = loud[_lufs(loud) > _lufs(loud.mean()) + RELATIVE_GATE_LU]
    return float(_lufs(loud.mean()))


def _lufs(power: Numbers | np.floating) -> Numbers:
    with np.errstate(divide="ignore"):
        return np.asarray(-0.691 + 10 * np.log10(power))


def _block_powers(samples: Numbers, sample_rate_hz: int) -> Numbers:
    block, step = int(BLOCK_SECONDS * sample_rate_hz), int(STEP_SECONDS * sample_rate_hz)
    sums = np.concatenate(([0.0], np.cumsum(samples**2)))
    starts = np.arange(0, samples.size - block + 1, step)
    return (sums[starts + block] - sums[starts]) / block


def _weighted(samples: Numbers, sample_rate_hz: int) -> Numbers:
    """Filter by the product of both frequency responses, with room for the filters to ring out."""
    size = 1 << int(samples.size + sample_rate_hz).bit_length()
    z = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    response = _shelf(z, sample_rate_hz) * _high_pass(z, sample_rate_hz)
    return np.fft.irfft(np.fft.rfft(samples, size) * response, size)[: samples.size]


def _shelf(z: NDArray[np.complex128], sample_rate_hz: int) -> NDArray[np.complex128]:
    k, high = np.tan(np.pi * SHELF_HZ / sample_rate_hz), 10 ** (SHELF_DECIBELS / 20)
    middle = high**SHELF_EXPONENT
    above = (
        (high + middle * k / SHELF_Q + k * k) + 2 * (k * k - high) * z + (high - middle * k / SHELF_Q + k * k) * z**2
    )
    below = (1 + k / SHELF_Q + k * k) + 2 * (k * k - 1) * z + (1 - k / SHELF_Q + k * k) * z**2
    return np.asarray(above / below)


def _high_pass(z: NDArray[np.complex128], sample_rate_hz: int) -> NDArray[np.complex128]:
    k = np.tan(np.pi * HIGH_PASS_HZ / sample_rate_hz)
    first = 1 + k / HIGH_PASS_Q + k * k
    below = 1 + 2 * (k * k - 1) / first * z + (1 - k / HIGH_PASS_Q + k * k) / first * z**2
    return np.asarray((1 - 2 * z + z**2) / below)
