"""Engines for tests: `ToneEngine` works, the others fail as engines do when the text tells them to."""

import ctypes
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from tts_server.engines.protocol import Sound, Voices
from tts_server.inference.wire.frames import shared_frame

NEAR_SILENCE = np.full(1600, 0.01, np.float32)
"""A tenth of a second of something."""


class ToneEngine:
    """A tone of 50 ms per character: it needs no weights and always sounds the same."""

    sample_rate_hz = 16_000
    voices: Voices = {"beep": ("en",), "low": ("en", "de")}

    def speak(self, text: str, voice: str, language: str | None, speed: float) -> Iterator[Sound]:
        seconds = np.arange(int(0.05 * self.sample_rate_hz / speed)) / self.sample_rate_hz
        for character in text:
            pitch_hz = (200 if voice == "beep" else 100) + ord(character) % 600
            yield (0.5 * np.sin(2 * np.pi * pitch_hz * seconds)).astype(np.float32)


class WordsEngine(ToneEngine):
    """Asks for words instead of numbers. To `loaded?` it says one character, two if what writes them is loaded."""

    normalized_languages = ("en",)

    def speak(self, text: str, voice: str, language: str | None, speed: float) -> Iterator[Sound]:
        if text == "loaded?":
            text = "ab" if {"kaldifst", "wetext", "tts_server.text"} & sys.modules.keys() else "a"
        yield from super().speak(text, voice, language, speed)


class StopSpeaking(Exception):  # noqa: N818 - it is an order
    """The rest of the text is not spoken."""


class FailingEngine(ToneEngine):
    """Speaks as `ToneEngine` does, unless the text names a failure: the method `_<text>`."""

    def __init__(self) -> None:
        self._kept: list[bytes] = []
        self._muted = False

    def speak(self, text: str, voice: str, language: str | None, speed: float) -> Iterator[Sound]:
        with suppress(StopSpeaking):
            if self._muted:
                yield from self._unread()
            yield from getattr(self, f"_{text}", lambda: iter(()))()
            yield from super().speak(text, voice, language, speed)

    def _crash(self) -> Iterator[Sound]:
        yield NEAR_SILENCE
        ctypes.string_at(0)

    def _exit(self) -> Iterator[Sound]:
        yield from ()
        os._exit(3)

    def _raise(self) -> Iterator[Sound]:
        yield NEAR_SILENCE
        raise ValueError("the caller said: secret words")

    def _hang(self) -> Iterator[Sound]:
        time.sleep(3600)
        yield from ()

    def _stall(self) -> Iterator[Sound]:
        yield NEAR_SILENCE
        time.sleep(3600)

    def _seize(self) -> Iterator[Sound]:
        """Hold the interpreter's lock for ever, as native code does that never gives it back."""
        yield NEAR_SILENCE
        ctypes.PyDLL(None).sleep(3600)

    def _endless(self) -> Iterator[Sound]:
        """Speak in real time: a faster engine may yield more than the limit while its reader is not scheduled."""
        while True:
            yield NEAR_SILENCE
            time.sleep(0.1)

    def _flood(self) -> Iterator[Sound]:
        """Yield as fast as the reader takes it."""
        while True:
            yield NEAR_SILENCE

    def _slow(self) -> Iterator[Sound]:
        for _ in range(20):
            time.sleep(0.05)
            yield NEAR_SILENCE

    def _nan(self) -> Iterator[Sound]:
        yield np.full(1600, np.nan, np.float32)

    def _unread(self) -> Iterator[Sound]:
        """Yield silence, as for a script that the engine cannot read."""
        yield np.zeros(1600, np.float32)
        raise StopSpeaking

    def _mute(self) -> Iterator[Sound]:
        """Yield silence for this text and all that follow."""
        self._muted = True
        yield from self._unread()

    def _pause(self) -> Iterator[Sound]:
        yield np.zeros(1600, np.float32)

    def _babble(self) -> Iterator[Sound]:
        """Yield more audio than any text can be."""
        for _ in range(1000):
            yield np.full(16_000, 0.1, np.float32)

    def _surge(self) -> Iterator[Sound]:
        """Yield one part, and more audio than any text can be only after a reader has taken that part alone."""
        yield NEAR_SILENCE
        time.sleep(0.5)
        yield from self._babble()

    def _loud(self) -> Iterator[Sound]:
        yield np.full(1600, 7.0, np.float32)

    def _stereo(self) -> Iterator[Sound]:
        yield np.zeros((1600, 2), np.float32)

    def _double(self) -> Iterator[Sound]:
        yield np.zeros(1600, np.float64)  # type: ignore[misc]  # that is the point

    def _empty(self) -> Iterator[Sound]:
        yield np.zeros(0, np.float32)
        yield NEAR_SILENCE
        yield np.zeros(0, np.float32)

    def _chatter(self) -> Iterator[Sound]:
        """Print what somebody may have asked it to say, some of it much like a stack."""
        for line in ("secret words", "Traceback of secret words", 'File "secret words", line 1', "Thread 0x1: secret"):
            print(line, flush=True)
        print("Fatal Python error: Secret words", flush=True)
        yield NEAR_SILENCE
        raise ValueError("secret words")

    def _print(self) -> Iterator[Sound]:
        print("progress: 50 %", flush=True)
        os.write(1, b"native progress\n")
        yield NEAR_SILENCE

    def _garbage(self) -> Iterator[Sound]:
        """Write into whatever pipe there is, the protocol's own too."""
        yield NEAR_SILENCE
        for entry in Path("/proc/self/fd").iterdir():
            number = int(entry.name)
            with suppress(OSError):
                if number > 2 and str(entry.readlink()).startswith(("pipe:", "socket:")):  # uvloop's are sockets
                    os.write(number, b"\xff" * 64)

    def _astray(self) -> Iterator[Sound]:
        """Announce audio at an invalid place of the shared buffer."""
        yield from ()
        said = shared_frame(2**32 - 2, 2)
        for entry in Path("/proc/self/fd").iterdir():
            number = int(entry.name)
            with suppress(OSError):
                if number > 2 and str(entry.readlink()).startswith("pipe:"):
                    os.write(number, said)

    def _grow(self) -> Iterator[Sound]:
        self._kept.append(b"\x01" * 190_000_000)
        yield NEAR_SILENCE

    def _hoard(self) -> Iterator[Sound]:
        while True:
            yield from self._grow()
            time.sleep(0.1)

    def _spawn(self) -> Iterator[Sound]:
        if os.fork() == 0:
            time.sleep(3600)
        yield NEAR_SILENCE


class UnloadableEngine(ToneEngine):
    """Fails to load: it has no weights."""

    def __init__(self) -> None:
        raise FileNotFoundError("model.onnx")


class HangingEngine(ToneEngine):
    """Never finishes loading."""

    def __init__(self) -> None:
        time.sleep(3600)


class SlowToLoadEngine(ToneEngine):
    """Loads only while a file does not exist: it may take as long as a test wants."""

    def __init__(self) -> None:
        while Path(os.environ["SLOW_TO_LOAD_FILE"]).exists():
            time.sleep(0.05)

    def speak(self, text: str, voice: str, language: str | None, speed: float) -> Iterator[Sound]:
        if text == "stall":
            yield NEAR_SILENCE
            time.sleep(3600)
        yield from super().speak(text, voice, language, speed)


class CrashLoopEngine(ToneEngine):
    """Loads while a file exists, and dies of the word `die`: a crash loop."""

    def __init__(self) -> None:
        if not Path(os.environ["CRASH_LOOP_FILE"]).exists():
            os._exit(4)

    def speak(self, text: str, voice: str, language: str | None, speed: float) -> Iterator[Sound]:
        if text == "die":
            os._exit(5)
        yield from super().speak(text, voice, language, speed)


class ThreadedEngine(ToneEngine):
    """Has a thread of its own, as a library with a pool of threads does."""

    def __init__(self) -> None:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
