"""eSpeak NG never reaches full scale, and is as loud as other engines."""

import numpy as np
import pytest

from tts_server.engines.espeak import Espeak
from tts_server.engines.limiter import CEILING
from tts_server.samples import FULL_SCALE, as_floats
from tts_server.synthesis.loudness import float_loudness_lkfs

TEXT = "Wow! 10 100 7 a o i u."
LOUDNESS = {
    "en-us": "The quick brown fox jumps over the lazy dog.",
    "de": "Das ist ja unglaublich laut! Wirklich?",
    "cmn": "今天天气很好，我们一起去公园散步吧。",
}


@pytest.fixture(scope="module")
def espeak() -> Espeak:
    return Espeak()


@pytest.mark.parametrize("speed", [0.3, 1.0, 4.0])
def test_no_voice_reaches_full_scale(espeak: Espeak, speed: float) -> None:
    peaks = {voice: np.abs(espeak.speak(TEXT, voice, None, speed)[0].astype(int)).max() for voice in espeak.voices}
    assert max(peaks.values()) <= CEILING * FULL_SCALE + 1
    assert min(peaks.values()) > 0.2 * FULL_SCALE


@pytest.mark.parametrize("voice", LOUDNESS)
def test_its_loudness_is_that_of_other_engines(espeak: Espeak, voice: str) -> None:
    loudness = float_loudness_lkfs(as_floats(espeak.speak(LOUDNESS[voice], voice, None, 1.0)[0]), espeak.sample_rate_hz)
    assert loudness == pytest.approx(-20, abs=2)
