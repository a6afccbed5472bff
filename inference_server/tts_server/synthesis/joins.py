"""Joins the audio of two utterances: with the pause that their texts call for, and without a click.

An engine ends its audio shortly after the last sound, and pauses only inside a text. Where two utterances meet, the
silence at the end of one and at the beginning of the next counts towards the pause; the rest is added.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tts_server.samples import FULL_SCALE, Samples

SILENT_BELOW = round(0.002 * FULL_SCALE)
"""Largest sample of silence."""
STEEPEST = round(0.004 * FULL_SCALE)
"""Largest step between two samples at a join: larger ones are audible as a click."""
_PROBE_SAMPLES = 1024
_NO_SAMPLES: Samples = np.zeros(0, np.int16)


@dataclass(frozen=True, slots=True)
class AudioEnd:
    """The end of an utterance's audio."""

    last: int = 0
    """Its last sample."""
    silent_samples: int = 0
    """Number of samples of silence at its end."""

    def after(self, samples: Samples) -> "AudioEnd":
        """Return the end once these samples, at least one, have followed."""
        silent = _silent_samples(samples[::-1])
        before = self.silent_samples if silent == samples.size else 0
        return AudioEnd(int(samples[-1]), before + silent)


class Join:
    """The audio of one utterance, as it follows on what came before it: None at the beginning of a reply.

    Samples are searched for silence when others follow: nothing follows on most of them.
    """

    def __init__(self, before: AudioEnd | None, pause_samples: int) -> None:
        self._pause_samples = pause_samples
        self._joined = before is None
        self._end = before
        self._latest: Samples | None = None
        """Samples that are part of the audio and not yet of `_end`."""

    @property
    def end(self) -> AudioEnd | None:
        """The end of the audio so far."""
        if self._latest is not None:
            self._end = (self._end or AudioEnd()).after(self._latest)
            self._latest = None
        return self._end

    def feed(self, samples: Samples) -> Samples:
        """Return the samples, the first ones with what joins them to the audio before."""
        if samples.size == 0:
            return samples
        end, joined = self.end, samples
        if end is not None and not self._joined:
            joined = np.concatenate([missing_between(end, samples, self._pause_samples), samples])
        self._joined = True
        self._latest = samples
        return joined


def missing_between(end: AudioEnd, following: Samples, pause_samples: int) -> Samples:
    """Return what is missing between `end` and `following`: the rest of the pause, with ramps from and to silence.

    Without a pause it is a ramp from the last sample to the first, empty if they differ little.
    """
    last, first = end.last, int(following[0])
    missing = pause_samples - end.silent_samples - _silent_samples(following)
    if missing <= 0:
        return _ramp(last, first)
    down, up = _ramp(last, 0), _ramp(0, first)
    silence = np.zeros(max(1, missing - down.size - up.size), np.int16)
    return np.concatenate([down, silence, up])


def pause_scale(speed: float, measured: Mapping[float, float]) -> float:
    """Return the length of a pause at `speed`, relative to speed 1.0.

    `measured` has what the engine itself does at some speeds, between which the duration is interpolated; an empty one
    stands for an engine whose pauses are as much shorter as its words.
    """
    if not measured:
        return 1.0 / speed
    points = sorted((1.0 / each, scale) for each, scale in measured.items())
    durations, scales = zip(*points, strict=True)
    return float(np.interp(1.0 / speed, durations, scales))


def _ramp(start: int, end: int) -> Samples:
    """Return the samples between `start` and `end`, without either."""
    steps = math.ceil(abs(end - start) / STEEPEST)
    if steps <= 1:  # as most are: engines begin and end near silence
        return _NO_SAMPLES
    return np.rint(np.linspace(start, end, steps + 1)[1:-1]).astype(np.int16)


def _silent_samples(samples: Samples) -> int:
    """Return the number of silent samples at the beginning."""
    for begin in range(0, samples.size, _PROBE_SAMPLES):
        probe = samples[begin : begin + _PROBE_SAMPLES]
        loud = (probe > SILENT_BELOW) | (probe < -SILENT_BELOW)
        if loud.any():
            return begin + int(loud.argmax())
    return int(samples.size)
