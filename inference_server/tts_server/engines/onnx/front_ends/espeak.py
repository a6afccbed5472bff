"""Phonemes of eSpeak NG in the notation of Kokoro, which was trained with them for most languages.

eSpeak NG is under the GPL: it runs in a process of its own, which this module starts and asks over pipes.
"""

import json
import re
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from tts_server.engines.espeak_phonemes import TIE
from tts_server.errors import EngineError

LOAD_SECONDS = 60.0
"""How long the process may take to start: half a second on an idle machine."""
TIMEOUT_SECONDS = 5.0
"""How long a segment's phonemes may take: a millisecond, unless the library hangs."""
_READ_BYTES = 65_536
# Punctuation inside a number belongs to it: 3,5 and 10:30.
_PUNCTUATION = re.compile(r"""(\s*(?:(?:(?<!\d)[.,:]|[.,:](?!\d)|[;!?…—"“”()¡¿«»।])\s*)+)""")
_STRAY_SPACE = re.compile(r"\s+(?=[.,:;!?…”)])|(?<=[“(])\s+")
_MARKS = str.maketrans({"«": "“", "»": "”", "¡": None, "¿": None, "।": "."})
# Kokoro's vocabulary has one letter for each of these pairs.
_ONE_LETTER = {
    "aɪ": "I", "aʊ": "W", "dz": "ʣ", "dʒ": "ʤ", "eɪ": "A", "oʊ": "O", "əʊ": "Q", "ss": "S", "ts": "ʦ", "tʃ": "ʧ",
    "ɔɪ": "Y",
}  # fmt: skip
_PAIRS = re.compile("|".join(f"{pair[0]}{re.escape(TIE)}{pair[1]}" for pair in _ONE_LETTER))


class EspeakProcess:
    """The process with the library. It is started with the first request, and again after a failure."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def phonemes(self, voice: str, texts: Sequence[str]) -> list[str]:
        """Return the phonemes of each text, as `espeak_phonemes` has them. Raises `EngineError`."""
        try:
            process = self._process or self._started()
            assert process.stdin is not None  # noqa: S101 - requested in `_started`
            process.stdin.write(json.dumps({"voice": voice, "texts": list(texts)}).encode("ascii") + b"\n")
            reply = _reply(process, TIMEOUT_SECONDS)
        except (OSError, ValueError) as error:
            self.stop()
            raise EngineError("The process that reads text with eSpeak NG failed.") from error
        phonemes: list[str] = reply["phonemes"]
        return phonemes

    def stop(self) -> None:
        """End the process. Safe to call twice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process = None

    def _started(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "tts_server.engines.espeak_phonemes"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        _reply(self._process, LOAD_SECONDS)
        return self._process


def _reply(process: subprocess.Popen[bytes], timeout_seconds: float) -> dict[str, Any]:
    """Read one reply. Raises `EngineError` if it is one, `TimeoutError`, and `OSError` if the process ends."""
    assert process.stdout is not None  # noqa: S101 - requested in `_started`
    line, deadline = b"", time.monotonic() + timeout_seconds
    while not line.endswith(b"\n"):
        readable, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            raise TimeoutError("no reply in time")
        data = process.stdout.read(_READ_BYTES)
        if not data:
            raise ConnectionError("it has ended")
        line += data
    reply: dict[str, Any] = json.loads(line)
    if "error" in reply:
        raise EngineError(reply["error"])
    return reply


class Espeak:
    """One language, read by the process."""

    def __init__(self, voice: str, process: EspeakProcess) -> None:
        self._voice = voice
        self._process = process

    def __call__(self, text: str) -> str:
        pieces = _PUNCTUATION.split(text)  # texts and what is between them in turns
        read = self._process.phonemes(self._voice, pieces[::2])
        pieces[::2] = map(in_vocabulary, read)
        pieces[1::2] = (mark.translate(_MARKS) for mark in pieces[1::2])
        return _STRAY_SPACE.sub("", "".join(pieces)).strip()


def in_vocabulary(phonemes: str) -> str:
    """Return IPA with ties in the notation of Kokoro: one letter for a diphthong or an affricate, and no ties."""
    joined = _PAIRS.sub(lambda found: _ONE_LETTER[found[0].replace(TIE, "")], phonemes)
    return joined.replace(TIE, "").replace("-", "")


_shared = EspeakProcess()


def stop() -> None:
    """End the process that reads; the next text starts one again. Safe to call twice."""
    _shared.stop()


def load(language: str) -> Espeak:
    """Return the front end of a language, by the name of the library's voice. All languages share one process."""
    return Espeak(language, _shared)
