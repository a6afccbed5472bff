"""Phonemes as voices of Piper were trained on: IPA of eSpeak NG, decomposed, between the punctuation of the text."""

import re
import unicodedata
from collections.abc import Sequence

from tts_server.engines.espeak_phonemes import TIE
from tts_server.engines.onnx.front_ends.espeak import EspeakProcess
from tts_server.errors import EngineError, EngineUnavailable

# Punctuation inside a number belongs to it: 3,5 and 10:30.
_PUNCTUATION = re.compile(r"((?:(?<!\d)[.,:]|[.,:](?!\d)|[;!?…。，！？：；、])+\s*)")
_MARKS = str.maketrans("。，！？：；、…", ".,!?:;,.")
_CLAUSE_END = re.compile(r"(?<=[.,;:!?])\s+")


_process = EspeakProcess()


def require(voice: str) -> None:
    """Start the process that reads. Raises `EngineUnavailable` if it cannot be started or has no such voice."""
    try:
        _process.phonemes(voice, ["a"])
    except EngineError as error:
        raise EngineUnavailable(error.message) from error


def stop() -> None:
    """End the process; the next text starts it again."""
    _process.stop()


def read(voice: str, text: str) -> str:
    """Return the phonemes of `text`, with its punctuation. Raises `EngineError`."""
    pieces = _PUNCTUATION.split(text)  # texts and what is between them in turns
    pieces[::2] = [phonemes.replace(TIE, "") for phonemes in _process.phonemes(voice, pieces[::2])]
    pieces[1::2] = [f"{mark.strip().translate(_MARKS)[:1]} " for mark in pieces[1::2]]
    return unicodedata.normalize("NFD", "".join(pieces).strip())


def pieces(phonemes: str, longest: int) -> Sequence[str]:
    """Divide phonemes where a clause ends, into pieces that are as long as `longest` allows."""
    if len(phonemes) <= longest:
        return (phonemes,)
    found: list[str] = []
    for clause in _CLAUSE_END.split(phonemes):
        if found and len(found[-1]) + len(clause) < longest:
            found[-1] += f" {clause}"
        else:
            found.extend(clause[start : start + longest] for start in range(0, len(clause), longest))
    return found
