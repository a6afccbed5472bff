"""Measures how many of 150 texts with numbers a front end reads as a person would, with and without normalization.

A text is read right if its phonemes are those of one of the readings that tests/support/spoken_forms.*.tsv has. The
rules before the grammar were written with that table in view: it does not say how often other texts are read right.
"""

from __future__ import annotations

import ctypes
import re
import time
from collections.abc import Callable

import espeakng_loader
from hibari.g2p import G2P

from bench.figures import Figure
from tests.support.text_tables import spoken_forms
from tts_server.text.spoken_forms import LANGUAGES, SpokenForms

IPA = 2
UTF8 = 1
Phonemes = Callable[[str], str]


def measure() -> list[Figure]:
    forms = SpokenForms(LANGUAGES)
    hibari = G2P()
    front_ends: dict[str, tuple[str, Phonemes]] = {
        "eSpeak NG, English": ("en", espeak("en-us")),
        "eSpeak NG, Chinese": ("zh", espeak("cmn")),
        "hibari, English": ("en", lambda text: str(hibari(text))),
    }
    figures = []
    for name, (language, phonemes) in front_ends.items():
        rows = spoken_forms(language)
        for how, rewrite in (
            ("as written", lambda text, _: text),
            ("in words", lambda text, code: forms.rewrite(text, code).text),
        ):
            right = sum(
                sound(phonemes, rewrite(text, language)) in {sound(phonemes, reading) for reading in readings}
                for _, text, readings in rows
            )
            figures.append(Figure(f"{name}: texts {how} that are read right", right, "", f"of {len(rows)}"))
    for language in LANGUAGES:
        rows = spoken_forms(language)
        begun = time.process_time()
        for _, text, _ in rows:
            forms.rewrite(text, language)
        figures.append(
            Figure(
                f"CPU time of normalization, {language}", (time.process_time() - begun) / len(rows) * 1000, "ms a text"
            )
        )
    return figures


def sound(phonemes: Phonemes, text: str) -> str:
    """Phonemes without stress, length and pauses; `and` and punctuation do not matter."""
    plain = re.sub(r"(?<!\w)[,.]|[,.](?!\w)|[。，：？]|\band\b", " ", text)
    return re.sub(r"[^\w]|[ˈˌː]", "", phonemes(plain))


def espeak(voice: str) -> Phonemes:
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_Initialize(1, 0, str(espeakng_loader.get_data_path()).encode(), 0)
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p

    def phonemes(text: str) -> str:
        library.espeak_SetVoiceByName(voice.encode())
        rest, found = ctypes.c_char_p(text.encode()), []
        while rest.value is not None:
            found.append((library.espeak_TextToPhonemes(ctypes.byref(rest), UTF8, IPA) or b"").decode())
        return " ".join(found)

    return phonemes
