"""Changes the speed of speech at the same pitch while it arrives, for servers that cannot.

Waveform similarity overlap-add (WSOLA): W. Verhelst and M. Roelands, "An overlap-add technique based on waveform
similarity for high quality time-scale modification of speech", ICASSP 1993.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tts_server.samples import Samples, as_floats, as_samples

FRAME_SECONDS = 0.03
"""Two periods of a low voice."""
SEARCH_SECONDS = 0.0075
"""How far from its place a frame is looked for: one period of a voice of 67 Hz in both directions."""


class TimeStretch:
    """Makes audio last 1/speed as long, in parts of any size. It holds back at most 100 ms at speed 1."""

    def __init__(self, sample_rate_hz: int, speed: float) -> None:
        self._speed = speed
        self._half = int(FRAME_SECONDS * sample_rate_hz) // 2
        self._search = int(SEARCH_SECONDS * sample_rate_hz)
        self._window = _window(self._half)
        self._input: NDArray[np.float32] = np.zeros(self._search, np.float32)
        """Samples that later frames may need."""
        self._offset = 0
        """Place of `_input[0]` in the padded audio."""
        self._frames = 0
        self._place = 0
        """Place at which the last frame began."""
        self._tail = np.zeros(self._half, np.float32)
        """Second half of the last frame, to which the next one is added."""
        self._samples = 0

    def feed(self, samples: Samples) -> Samples:
        """Return the samples that are ready."""
        if self._speed == 1.0:
            return samples
        self._samples += samples.size
        self._input = np.concatenate([self._input, as_floats(samples)])
        return self._ready_frames(int(self._samples / self._speed) // self._half - self._frames)

    def finish(self) -> Samples:
        """Return the rest: altogether `samples / speed`."""
        if self._speed == 1.0 or not self._samples:
            return np.zeros(0, np.int16)
        wanted = round(self._samples / self._speed) - self._frames * self._half
        if wanted <= 0:
            return np.zeros(0, np.int16)
        reach = int(self._half * (self._speed + 4)) + 4 * self._search + 2 * wanted * max(1, int(self._speed) + 1)
        self._input = np.concatenate([self._input, np.zeros(reach, np.float32)])
        rest = self._ready_frames(most=-(-wanted // self._half))
        return rest[:wanted]

    def _ready_frames(self, most: int) -> Samples:
        out: list[NDArray[np.float32]] = []
        half, search = self._half, self._search
        while len(out) < most:
            start = round(self._frames * half * self._speed)  # `search` before the frame's own place
            needed = max(start + 2 * (half + search), self._place + 3 * half if self._frames else 0)
            if needed > self._offset + self._input.size:
                break
            if self._frames == 0:
                self._place = search
                frame = self._at(search, 2 * half)
                out.append(frame[:half])  # keeps its beginning: there is nothing before it to fade from
            else:
                continuation = self._at(self._place + half, 2 * half)
                candidates = self._at(start, 2 * (half + search))
                self._place = start + int(np.argmax(np.correlate(candidates, continuation, "valid")))
                frame = self._at(self._place, 2 * half)
                out.append(self._tail + frame[:half] * self._window[:half])
            self._tail = frame[half:] * self._window[half:]
            self._frames += 1
            self._forget(min(round(self._frames * half * self._speed), self._place + half))
        return as_samples(np.concatenate(out)) if out else np.zeros(0, np.int16)

    def _at(self, place: int, size: int) -> NDArray[np.float32]:
        return self._input[place - self._offset : place - self._offset + size]

    def _forget(self, before: int) -> None:
        if before - self._offset > 8 * self._half:
            self._input = self._input[before - self._offset :]
            self._offset = before


@lru_cache(maxsize=8)
def _window(half: int) -> NDArray[np.float32]:
    window: NDArray[np.float32] = (0.5 - 0.5 * np.cos(np.pi * np.arange(2 * half) / half)).astype(np.float32)
    return window
