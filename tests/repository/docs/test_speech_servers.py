"""The page on other speech servers has every word for a failure, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from tts_server.errors import EngineError, RequestError
from tts_server.http.errors import status_of
from tts_server.inference.speech_server.faults import FAULTS

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "speech-servers.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.split("|")[1:-1]]
    for line in PAGE.partition("## What goes wrong")[2].splitlines()
    if line.startswith("| `")
]


def test_the_page_has_every_word_once() -> None:
    words = [word for row in ROWS for word in re.findall(r"`(\w+)`", row[0])]
    assert sorted(words) == sorted(FAULTS)


def test_the_page_says_what_callers_get() -> None:
    for words, _, answer in ROWS:
        for word in re.findall(r"`(\w+)`", words):
            error = FAULTS[word].error
            assert f"{status_of(error)} `{error.code}`" in answer, word


def test_what_does_not_count_is_said_to() -> None:
    for words, _, answer in ROWS:
        for word in re.findall(r"`(\w+)`", words):
            error = FAULTS[word].error
            counts = issubclass(error, EngineError) and error.counts
            assert counts != ("not counted" in answer or "does not count" in answer), word
            assert ("fallback's audio" in answer) != issubclass(error, RequestError), word


def test_every_sentence_ends_as_one() -> None:
    for fault in FAULTS.values():
        assert fault.sentence.endswith(".")
        assert fault.sentence[0].islower()
