"""A long utterance of a slow engine is cut where a reader would breathe, and no other is."""

import regex
from hypothesis import given
from hypothesis import strategies as st

from tests.support.server_models import model
from tts_server.config.schema import PausesConfig, ServerConfig
from tts_server.inference.client import Utterance
from tts_server.routing.catalogue import catalogue
from tts_server.routing.short_utterances import LONGEST_RUN_SECONDS, SHORTEST_SECONDS, short_utterances
from tts_server.routing.voice_selection import RoutedUtterance
from tts_server.text.duration_estimate import estimated_seconds

PAUSES = PausesConfig(clause_seconds=0.2, sentence_seconds=0.5)
NAMES = catalogue(
    ServerConfig(models=(model("slow", ("ann", ["en"]), pauses=PAUSES), model("fast", ("bob", ["en"])))), {}
)
WORDS = "river stone garden window " * 9
CLAUSES = "the river is already awake, and so are the people, who live there; " * 3


def cut(text: str, factor: float, *, name: str = "slow", speed: float = 1.0) -> list[RoutedUtterance]:
    routed = RoutedUtterance(name, Utterance(text, "ann", "en", speed), pause_seconds=0.7)
    return short_utterances(NAMES, [routed], {"slow": factor, "fast": 0.05}.__getitem__)


def texts(parts: list[RoutedUtterance]) -> list[str]:
    return [part.utterance.text for part in parts]


def test_an_engine_that_is_fast_or_was_never_measured_gets_the_text_whole() -> None:
    for parts in (cut(WORDS, 0.0), cut(WORDS, 0.3), cut(WORDS, 9, name="fast")):
        assert texts(parts) == [WORDS]


def test_parts_of_a_slow_engine_are_about_equally_long_and_end_between_words() -> None:
    parts = texts(cut(WORDS, 1.0))
    assert " ".join(parts) == WORDS.strip()
    assert len(parts) == 4
    assert max(map(len, parts)) - min(map(len, parts)) < 30
    assert all(estimated_seconds(part, 1.0) <= LONGEST_RUN_SECONDS for part in parts)


def test_a_clause_ends_a_part_and_has_its_pause() -> None:
    parts = cut(CLAUSES, 1.0)
    assert all(text[-1] in ",;" for text in texts(parts))
    assert [part.pause_seconds for part in parts] == [*[0.2] * (len(parts) - 1), 0.7]


def test_words_without_a_mark_between_them_have_no_pause() -> None:
    assert [part.pause_seconds for part in cut(WORDS, 1.0)] == [0.0, 0.0, 0.0, 0.7]


def test_what_takes_longer_to_say_is_cut_into_shorter_texts() -> None:
    assert max(map(len, texts(cut("7" * 60, 1.0)))) <= LONGEST_RUN_SECONDS / 0.3
    assert max(map(len, texts(cut("字" * 90, 1.0)))) <= LONGEST_RUN_SECONDS / 0.2
    assert len(cut(WORDS, 1.0, speed=0.5)) > len(cut(WORDS, 1.0)) > len(cut(WORDS, 1.0, speed=2.0))


def test_the_slowest_engine_still_gets_three_seconds_at_once() -> None:
    assert max(estimated_seconds(text, 1.0) for text in texts(cut(WORDS, 100.0))) > SHORTEST_SECONDS - 1


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp", "Cf"]), min_size=1, max_size=240))
def test_nothing_is_lost_and_no_grapheme_is_cut(text: str) -> None:
    found = texts(cut(text, 50.0))
    assert "".join(found) == text
    ends, at = {0}, 0
    for cluster in regex.findall(r"\X", text):
        at += len(cluster)
        ends.add(at)
    longest = max(map(len, regex.findall(r"\X", text)))
    at = 0
    for part in found:
        at += len(part)
        assert at in ends or longest > len(part)
