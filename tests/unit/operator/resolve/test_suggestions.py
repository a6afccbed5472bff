"""A message about a name that does not exist lists those that do."""

from __future__ import annotations

from dataclasses import replace

from tests.support.operator_builders import falls_back_to, observe, resolved
from tests.support.resources import model
from tts_operator.resolve.suggestions import MOST_NAMES, closest
from tts_operator.snapshot.observed import Observed


def test_the_most_similar_name_is_first() -> None:
    assert closest("espaek", ["cosyvoice", "espeak", "piper"]) == "espeak, piper, cosyvoice"


def test_a_long_list_is_cut_and_counted() -> None:
    voices = [f"voice-{number:03}" for number in range(200)]
    shown = closest("voice-117", voices)
    assert shown.startswith("voice-117, ")
    assert shown.endswith(f" and {200 - MOST_NAMES} more")


def test_equally_similar_names_are_in_order_whatever_the_order_of_reading() -> None:
    assert closest("x", ["b", "a"]) == closest("x", ["a", "b"]) == "a, b"


def test_nothing_to_choose_from_is_said() -> None:
    assert closest("x", []) == "none"


def messages(observed: Observed) -> list[str]:
    return [problem.message for problem in resolved(observed).model_problems]


def test_a_missing_model_lists_those_that_the_namespace_may_use() -> None:
    others = {"matchLabels": {"team": "b"}}
    published = [model("piper"), model("espeak"), model("theirs", allowedNamespaces=others)]
    observed = replace(observe("espaek", known=[]), published=published)
    (message,) = messages(observed)
    assert message.endswith("; models that this namespace may use: espeak, piper")
    (message,) = messages(replace(observed, namespace_labels={"team": "b"}))
    assert message.endswith(": espeak, theirs, piper")


def test_a_missing_voice_lists_those_of_every_model_of_the_tenant() -> None:
    known = [model("one"), model("two", voices=[{"name": "en-gb"}])]
    route = [{"language": "en", "voice": "en"}]
    (message,) = messages(observe("one", "two", known=known, languageRouting=route))
    assert message.startswith("spec.languageRouting[en] names voice en, which no model of the tenant has")
    assert message.endswith("; their voices: en-gb, en-us, de")


def test_a_missing_voice_of_a_fallback_lists_those_of_the_fallback() -> None:
    known = [model("large", fallback=falls_back_to("small", en="english")), model("small")]
    (message,) = messages(observe("large", known=known))
    assert message.endswith("; its voices: en-us, de")
