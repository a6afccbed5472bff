"""eSpeak NG: formant synthesis in a hundred languages, a thousand times faster than real time on one core.

The library and its data come with the wheel `espeakng-loader` (GPL: hence an extra, and a process of its own). It keeps
its state in globals, one utterance at a time, and so does this module. Two renderings of a text differ by an inaudible
flutter of pitch, whose phase the library never resets: their lengths agree within one per cent.

A segment is rendered whole before it is handed over: 5 ms for a sentence of 4 s. Handing its 60 ms parts over as the
library calls back takes a second thread, and doubles that.
"""

import ctypes
import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tts_server.engines.limiter import limited
from tts_server.errors import EngineError, EngineUnavailable
from tts_server.samples import Samples, as_samples

# From espeak-ng/speak_lib.h of 1.52.
AUDIO_OUTPUT_SYNCHRONOUS = 2
INITIALIZE_DONT_EXIT = 0x8000
CHARS_UTF8 = 1
POS_CHARACTER = 1
RATE = 1
VOLUME = 2
CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)

WORDS_PER_MINUTE = 175
"""Rate of the library at speed 1.0. Measured: durations follow the rate from 0.5 to 4.0 times this."""
SLOWEST = 0.5
"""Lowest speed that the library renders itself; slower audio is stretched from here by its own Sonic."""
HEADROOM_VOLUME = 50
"""Volume at which the library renders: at its own 100, some voices go beyond full scale, and it clips them."""
GAIN = np.float32(2.06 / 32767)
"""From that volume to floats as loud as at 100, -20 LUFS as other engines; peaks above the ceiling are limited."""
SHORTEST_SECONDS = 0.1
"""Shortest utterance: text without a word, such as `...`, becomes this much silence."""


class _Voice(ctypes.Structure):
    _fields_: ClassVar[list[tuple[str, Any]]] = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("rest", ctypes.c_byte * 32),
    ]


class Espeak:
    """The eSpeak NG engine. Its voices have the library's language tags as names, such as `en-us`, `fr-fr`, `cmn`."""

    passage_characters = 320
    """20 s of audio, rendered in 30 ms on one core."""
    pause_scales: Mapping[float, float] = {
        0.25: 5.5, 0.5: 2.75, 0.75: 1.57, 1.0: 1.0, 1.25: 0.66, 1.5: 0.44, 1.75: 0.27, 2.0: 0.13, 2.5: 0.1, 4.0: 0.1
    }  # fmt: skip
    """Measured after full stops in four languages: beyond its normal speed the library saves on pauses first."""

    normalized_languages = ("en", "zh")
    """The library reads fewer than half of the numbers, dates and amounts in these as a person would."""

    def __init__(self) -> None:
        data_path, self._library = load_library()
        self.sample_rate_hz = int(
            self._library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, data_path, INITIALIZE_DONT_EXIT)
        )
        if self.sample_rate_hz <= 0:
            raise EngineUnavailable(f"eSpeak NG cannot find its data in {data_path.decode()}.")
        self._library.espeak_SetParameter(VOLUME, HEADROOM_VOLUME, 0)
        self._parts: list[bytes] = []
        self._cancelled = False
        self._voice = ""
        """The voice that is set in the library."""
        self._callback = CALLBACK(self._collect)  # kept: the library holds a bare pointer to it
        self._library.espeak_SetSynthCallback(self._callback)
        self._selectors, self.voices = _list_voices(self._library, Path(data_path.decode()))

    def speak(self, text: str, voice: str, language: str | None, speed: float) -> list[Samples]:
        del language  # each voice has one
        self._cancelled = False
        self._set_voice(voice)
        self._library.espeak_SetParameter(RATE, round(WORDS_PER_MINUTE * max(speed, SLOWEST)), 0)
        samples = self._render(speakable(text))
        if speed < SLOWEST:
            samples = _stretched(self._library, samples, self.sample_rate_hz, speed / SLOWEST)
        samples = as_samples(limited(samples * GAIN, self.sample_rate_hz))
        missing = int(SHORTEST_SECONDS * self.sample_rate_hz) - samples.size
        return [samples if missing <= 0 else np.pad(samples, (0, missing))]

    def cancel(self) -> None:
        self._cancelled = True  # the rendering ends within 60 ms of audio

    def _set_voice(self, voice: str) -> None:
        if voice == self._voice:  # setting it again would read its files: a fortieth of a sentence's time
            return
        selector, self._voice = self._selector(voice), ""
        if self._library.espeak_SetVoiceByName(selector) != 0:
            raise EngineError(f"eSpeak NG cannot load its voice {voice}.")
        self._voice = voice

    def _selector(self, voice: str) -> bytes:
        try:
            return self._selectors[voice]
        except KeyError:
            raise EngineError(f"eSpeak NG has no voice {voice}.") from None

    def _render(self, text: str) -> Samples:
        data = text.encode("utf-8", "replace") + b"\0"
        self._parts.clear()
        failed = self._library.espeak_Synth(data, len(data), 0, POS_CHARACTER, 0, CHARS_UTF8, None, None)
        if failed:
            raise EngineError(f"eSpeak NG returned error {failed}.")
        return np.frombuffer(b"".join(self._parts), np.int16)

    def _collect(self, wave: int | None, count: int, events: int | None) -> int:
        del events
        if wave and count > 0:
            self._parts.append(ctypes.string_at(wave, count * 2))
        return int(self._cancelled)


def speakable(text: str) -> str:
    """Return `text` without characters that the library takes for commands, or crashes on.

    U+0001 begins an embedded command, NUL ends the text, and private-use characters stand for its own marks. The names
    of braille patterns overflow a buffer in some languages, Arabic and Finnish among them, and a text of only backticks
    crashes Vietnamese, whose tones need a word.
    """
    if text.isascii() and text.isprintable() and "`" not in text:  # as most are
        return text
    return "".join(" " if _is_command(ord(character)) or _crashes(character) else character for character in text)


def _crashes(character: str) -> bool:
    return character == "`" or "\u2800" <= character <= "\u28ff"


def _is_command(code: int) -> bool:
    controls = (code < 0x20 and code not in (0x09, 0x0A, 0x0D)) or 0x7F <= code < 0xA0
    return controls or 0xD800 <= code < 0xF900 or code >= 0xF0000


def load_library() -> tuple[bytes, ctypes.CDLL]:
    try:
        import espeakng_loader

        library = ctypes.CDLL(espeakng_loader.get_library_path())
    except (ImportError, OSError) as error:
        raise EngineUnavailable("eSpeak NG is not installed. Install ttsfleet[espeak].") from error
    library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
    library.sonicCreateStream.restype = ctypes.c_void_p
    return espeakng_loader.get_data_path().encode(), library


def _list_voices(library: ctypes.CDLL, data_path: Path) -> tuple[dict[str, bytes], dict[str, tuple[str, ...]]]:
    """Return, by voice name, the library's selector of the voice, and the languages that it speaks."""
    selectors: dict[str, bytes] = {}
    languages: dict[str, tuple[str, ...]] = {}
    listed = library.espeak_ListVoices(None)
    for index in itertools.takewhile(lambda index: bool(listed[index]), itertools.count()):
        voice = listed[index].contents
        spoken = _languages(voice.languages)
        file = data_path / "lang" / voice.identifier.decode()
        if not _has_dictionary(file, spoken[0], data_path):
            continue  # listed, but silent
        # Two Cantonese voices share a tag: the second is named after its file.
        name = spoken[0] if spoken[0] not in selectors else file.name.lower()
        selectors[name], languages[name] = voice.name, spoken
    return selectors, languages


def _languages(address: int) -> tuple[str, ...]:
    """Parse a list of (priority byte, tag, NUL) that ends with a zero priority."""
    tags: list[str] = []
    while ctypes.string_at(address, 1) != b"\0":
        tag = ctypes.string_at(address + 1)
        tags.append(tag.decode())
        address += len(tag) + 2
    return tuple(tags)


def _has_dictionary(file: Path, language: str, data_path: Path) -> bool:
    if (data_path / f"{language.partition('-')[0]}_dict").exists():
        return True
    named = re.search(r"^\s*dictionary\s+(\S+)", file.read_text("utf-8", "replace"), re.MULTILINE)
    return named is not None and (data_path / f"{named[1]}_dict").exists()


def _stretched(library: ctypes.CDLL, samples: Samples, sample_rate_hz: int, speed: float) -> Samples:
    """Stretch `samples` to `speed` (under 1.0: longer) at the same pitch, by the library's own Sonic."""
    stream = ctypes.c_void_p(library.sonicCreateStream(sample_rate_hz, 1))
    if not stream:
        raise EngineError("eSpeak NG is out of memory (Sonic).")
    try:
        library.sonicSetSpeed(stream, ctypes.c_float(speed))
        library.sonicWriteShortToStream(stream, samples.ctypes.data_as(ctypes.c_void_p), samples.size)
        library.sonicFlushStream(stream)
        stretched = np.empty(library.sonicSamplesAvailable(stream), np.int16)
        read = library.sonicReadShortFromStream(stream, stretched.ctypes.data_as(ctypes.c_void_p), stretched.size)
        return stretched[:read]
    finally:
        library.sonicDestroyStream(stream)
