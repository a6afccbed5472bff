"""Numbers become the words that are read for them; everything else stays, and nothing ever raises."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.text_tables import spoken_forms, words
from tts_server.text.spoken_forms import LANGUAGES, LONGEST_CHARACTERS, MOST_SECONDS, Grammar, Rewritten, SpokenForms

ROWS = [(language, *row) for language in LANGUAGES for row in spoken_forms(language)]


def test_the_table_has_75_texts_of_each_language() -> None:
    assert [len(spoken_forms(language)) for language in LANGUAGES] == [75, 75]
    kinds = {"cardinal", "ordinal", "date", "time", "money", "range", "unit", "phone", "percent", "fraction"}
    assert all(kinds <= {kind for kind, _, _ in spoken_forms(language)} for language in LANGUAGES)


@pytest.mark.parametrize(("language", "kind", "text", "expected"), ROWS, ids=[f"{row[0]} {row[2]}" for row in ROWS])
def test_the_table(language: str, kind: str, text: str, expected: list[str]) -> None:
    rewritten = SpokenForms(LANGUAGES).rewrite(text, language)
    assert rewritten.failures == ()
    assert words(rewritten.text, language) in [words(each, language) for each in expected]


KEPT: dict[str, tuple[str, str | None, str]] = {
    "quotes and backslashes": ('He said "5 times" \\ twice.', "en", 'He said "five times" \\ twice.'),
    "words far from a number": ("Dr. Lee & Co.: <b>x</b> in 3 days.", "en", "Dr. Lee & Co.: <b>x</b> in three days."),
    "clauses without a number": ("万一下雨，我们3点走。", "zh", "万一下雨，我们三点走。"),
    "another language": ("Es kostet 5 Euro.", "de", "Es kostet 5 Euro."),
    "no language": ("5", None, "5"),
    "a variety": ("5 cats", "en-GB", "five cats"),
    "another code": ("3只猫", "cmn", "三只猫"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "language", "expected"), KEPT.values(), ids=KEPT)
def test_what_is_no_number_stays(text: str, language: str | None, expected: str) -> None:
    assert SpokenForms(LANGUAGES).rewrite(text, language) == Rewritten(expected)


def test_only_chosen_languages_are_rewritten() -> None:
    assert SpokenForms(("zh",)).rewrite("5 cats", "en") == Rewritten("5 cats")


def broken(_: str) -> Grammar:
    def grammar(text: str) -> str:
        raise AssertionError(text)

    return grammar


def missing(language: str) -> Grammar:
    raise ImportError("wetext")


def silent(_: str) -> Grammar:
    return lambda _: " "


@pytest.mark.parametrize("grammar", [broken, missing, silent])
def test_a_grammar_that_fails_leaves_the_text_and_is_counted(grammar: Callable[[str], Grammar]) -> None:
    forms = SpokenForms(LANGUAGES, grammar)
    assert forms.rewrite("5 cats, and then much later 6 dogs", "en") == Rewritten(
        "5 cats, and then much later 6 dogs", ("error", "error")
    )


def test_a_piece_that_is_too_long_stays() -> None:
    text = "5" * (LONGEST_CHARACTERS + 1)
    assert SpokenForms(LANGUAGES).rewrite(text, "en") == Rewritten(text, ("too_long",))


def test_a_text_that_takes_too_long_stays_from_there_on() -> None:
    now = iter([0.0, 0.0, MOST_SECONDS + 0.1])
    forms = SpokenForms(LANGUAGES, lambda _: str.upper, lambda: next(now))
    found = forms.rewrite("a 1 b c d e f 2 g", "en")
    assert found == Rewritten("A 1 B c d e f 2 g", ("timeout",))


PIECES = st.lists(
    st.sampled_from(
        ["5", "12:30", "$5.20", "3 kg", "2025-03-04", "word", " ", ", ", ". ", "你好", "，", "第3次", "50%", '"', "\\",
         "\x00", "½", "⁵", "1,000,000", "+1 800 555 0199", "é", "🙂", "\u0301", "<", "(", "1990s", "No. ", "年"]
    ),
    max_size=12,
).map("".join)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(PIECES | st.text(max_size=60), st.sampled_from(["en", "zh"]))
def test_any_text_is_rewritten_without_an_error(text: str, language: str) -> None:
    rewritten = SpokenForms(LANGUAGES).rewrite(text, language)
    if not re.search(r"[\d½¼¾⅓⅔]", text):
        assert rewritten == Rewritten(text)
    assert bool(rewritten.text.strip()) == bool(text.strip())


@given(st.text(), st.sampled_from(["en", "zh"]))
def test_text_outside_of_what_is_rewritten_is_kept(text: str, language: str) -> None:
    """With a grammar that marks what it got, the rest is the text as it was."""
    rewritten = SpokenForms(LANGUAGES, lambda _: lambda piece: f"\ue000{piece}\ue001").rewrite(text, language).text
    outside = re.split("\ue000.*?\ue001", rewritten, flags=re.DOTALL)
    position = 0
    for piece in outside:
        position = text.index(piece, position) + len(piece)
    assert not any(character.isdecimal() for piece in outside for character in piece)
