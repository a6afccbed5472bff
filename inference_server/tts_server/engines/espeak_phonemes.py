"""Turns text into phonemes with eSpeak NG, in a process of its own: `python -m tts_server.engines.espeak_phonemes`.

The library is under the GPL: no other process loads it. Lines of stdin are requests, lines of stdout replies, both
JSON: `{"voice": "it", "texts": ["ciao", ...]}` gives `{"phonemes": ["t^ʃˈaːo", ...]}` or `{"error": "..."}`. The first
line of stdout is `{}` once the library is loaded, or an error. The phonemes of a text are IPA; letters of one sound,
such as those of an affricate, are tied by `^`. The process ends with its stdin.
"""

import ctypes
import json
import os
import re
import sys

from tts_server.engines.espeak import (
    AUDIO_OUTPUT_SYNCHRONOUS,
    CHARS_UTF8,
    INITIALIZE_DONT_EXIT,
    load_library,
    speakable,
)
from tts_server.errors import EngineUnavailable

# From espeak-ng/speak_lib.h of 1.52: espeak_TextToPhonemes.
PHONEMES_IPA = 0x02
PHONEMES_TIE = 0x80
TIE = "^"
_LANGUAGE_SWITCH = re.compile(r"\([a-z]{2,3}(?:-[a-z0-9-]+)?\)")
"""`(en)` before a word that the library reads as another language."""


class Phonemizer:
    """The library, which has one voice at a time."""

    def __init__(self) -> None:
        """Load the library. Raises `EngineUnavailable`."""
        data_path, self._library = load_library()
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        if self._library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, data_path, INITIALIZE_DONT_EXIT) <= 0:
            raise EngineUnavailable(f"eSpeak NG cannot find its data in {data_path.decode()}.")
        self._voice = ""

    def phonemes(self, voice: str, text: str) -> str:
        """Return the phonemes of `text`, clauses apart by a space. Raises `EngineUnavailable` for an unknown voice."""
        if voice != self._voice:
            if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
                raise EngineUnavailable(f"eSpeak NG has no voice {voice}.")
            self._voice = voice
        rest = ctypes.c_char_p(speakable(text).encode("utf-8", "replace"))
        clauses = []
        while rest.value:
            mode = PHONEMES_IPA | PHONEMES_TIE | ord(TIE) << 8
            clauses.append(self._library.espeak_TextToPhonemes(ctypes.byref(rest), CHARS_UTF8, mode).decode())
        return _LANGUAGE_SWITCH.sub("", " ".join(clauses)).strip()


def main() -> int:
    """Serve until stdin ends. Returns 0, or 1 if the library cannot be loaded."""
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # the library may print
    try:
        phonemizer = Phonemizer()
    except EngineUnavailable as error:
        sink.write(_line({"error": error.message}))
        return 1
    sink.write(_line({}))
    for line in source:
        request = json.loads(line)
        try:
            reply: dict[str, object] = {
                "phonemes": [phonemizer.phonemes(request["voice"], text) for text in request["texts"]]
            }
        except EngineUnavailable as error:
            reply = {"error": error.message}
        sink.write(_line(reply))
    return 0


def _line(content: dict[str, object]) -> bytes:
    return json.dumps(content).encode("ascii") + b"\n"


if __name__ == "__main__":
    sys.exit(main())
