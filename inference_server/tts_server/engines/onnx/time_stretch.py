"""Changes the duration of speech at the same pitch, for speeds that a graph cannot render.

Waveform similarity overlap-add (WSOLA): W. Verhelst and M. Roelands, "An overlap-add technique based on waveform
similarity for high quality time-scale modification of speech", ICASSP 1993.
"""

import numpy as np

from tts_server.engines.onnx.family import FloatSamples

FRAME_SECONDS = 0.03
"""Two periods of a low voice."""
SEARCH_SECONDS = 0.0075
"""How far from its place a frame is looked for: one period of a voice of 67 Hz in both directions."""


def faster(samples: FloatSamples, sample_rate_hz: int, speed: float) -> FloatSamples:
    """Shorten `samples` to 1/speed of their duration; `speed` is 1.0 or more."""
    return at_speed(samples, sample_rate_hz, speed)


def at_speed(samples: FloatSamples, sample_rate_hz: int, speed: float) -> FloatSamples:
    """Return `samples` with 1/speed of their duration; `speed` is from 0.25 to 4.0."""
    if speed == 1.0:
        return samples
    half = int(FRAME_SECONDS * sample_rate_hz) // 2
    search = int(SEARCH_SECONDS * sample_rate_hz)
    frames = int(samples.size / speed / half)
    if frames < 2:  # shorter than a frame: nothing to overlap
        return samples
    window = (0.5 - 0.5 * np.cos(np.pi * np.arange(2 * half) / half)).astype(np.float32)
    padded = np.pad(samples, (search, 2 * (half + search) + half))
    output = np.zeros((frames + 1) * half, np.float32)
    # The first frame keeps its beginning: there is nothing before it to fade from.
    place = search
    output[:half] = padded[place : place + half]
    output[half : 2 * half] += padded[place + half : place + 2 * half] * window[half:]
    for index in range(1, frames):
        continuation = padded[place + half : place + 3 * half]
        start = round(index * half * speed)  # `search` before the frame's own place in `padded`
        candidates = padded[start : start + 2 * (half + search)]
        place = start + int(np.argmax(np.correlate(candidates, continuation, "valid")))
        output[index * half : (index + 2) * half] += padded[place : place + 2 * half] * window
    return output
