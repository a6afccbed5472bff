"""An engine for tests of scheduling: it records the order of texts, and waits where a text says so."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.tone_engines import NEAR_SILENCE, ToneEngine
from tts_server.engines.protocol import Sound

FOLDER = "RECORDING_ENGINE_FOLDER"
SPOKEN = "spoken"
HOLD = "hold"


class RecordingEngine(ToneEngine):
    """`hold 1` sounds once there is a file `hold 1` in the folder; everything else at once."""

    def speak(self, text: str, voice: str, language: str | None, speed: float) -> Iterator[Sound]:
        folder = Path(os.environ[FOLDER])
        with (folder / SPOKEN).open("a") as spoken:
            spoken.write(text + "\n")
        while text.startswith(HOLD) and not (folder / text).exists():
            time.sleep(0.005)
        yield NEAR_SILENCE
