"""Chunks are whole sentences of one language, never before the first, never more than keeps pace."""

from hypothesis import given
from hypothesis import strategies as st

from tts_server.text import Pause, Segment, passages
from tts_server.text.parts import LONGEST_CHARACTERS, LONGEST_DENSE_CHARACTERS
from tts_server.text.pauses import ends_a_sentence, pause_after

SENTENCE = "Ten words are not many, and yet they make one."


def spoken(*texts: str, language: str = "en", at_once: int = 0) -> list[str]:
    return [segment.text for segment in passages([said(text, language) for text in texts], at_once)]


def said(text: str, language: str | None = "en") -> Segment:
    return Segment(text.strip(), language, pause_after(text))


def test_passages_grow_as_long_as_what_was_said_before_them() -> None:
    lengths = [len(text) // len(SENTENCE) for text in spoken(*[SENTENCE] * 16)]
    assert lengths == [1, 1, 2, 4, 5, 3]


def test_the_first_sentence_goes_alone() -> None:
    assert spoken("Hi!", "How are you?", "Fine.") == ["Hi!", "How are you?", "Fine."]


def test_a_fast_engine_takes_more_at_once_after_the_first_sentence() -> None:
    assert [len(text) // len(SENTENCE) for text in spoken(*[SENTENCE] * 16, at_once=320)] == [1, 6, 6, 3]
    assert spoken("Hi!", "How are you?", "Fine.", at_once=320) == ["Hi!", "How are you? Fine."]


def test_what_a_fast_engine_takes_is_less_of_a_script_whose_characters_are_syllables() -> None:
    assert [len(text) for text in spoken(*["字" * 30 + "。"] * 9, language="zh", at_once=320)] == [31, 124, 124]


def test_what_ends_no_sentence_is_not_run_into_the_next() -> None:
    assert spoken(SENTENCE, SENTENCE, "A title", "Its text.", "More.")[2:] == ["A title", "Its text. More."]


def test_quotes_do_not_hide_an_end() -> None:
    assert spoken(SENTENCE, SENTENCE, '"Stop!"', "He stopped.")[2:] == ['"Stop!" He stopped.']


def test_languages_stay_apart() -> None:
    found = passages([said(SENTENCE), said("Un.", "fr"), said("Two."), said("Three.")])
    assert [segment.language for segment in found] == ["en", "fr", "en"]


def test_scripts_without_spaces_get_none() -> None:
    assert spoken("今天天气很好！" * 3, "你好。", "是吗？", "好。", language="zh")[1:] == ["你好。是吗？好。"]


def test_a_paragraph_is_not_run_into_the_next() -> None:
    assert spoken(SENTENCE, SENTENCE, "One.\n", "Two.\n\n", "Three.")[2:] == ["One. Two.", "Three."]


def test_a_passage_pauses_as_its_last_sentence_does() -> None:
    found = passages([said(text) for text in (SENTENCE, "One.", "Two.\n\n", "Three.")])
    assert [(segment.text, segment.pause) for segment in found[1:]] == [
        ("One. Two.", Pause.PARAGRAPH),
        ("Three.", Pause.SENTENCE),
    ]


@given(st.lists(st.builds(said, st.sampled_from(
    ["Yes.", "Is it?", "Over.\n\n", "so it goes on,", SENTENCE, "x" * 240, "你好。", "字" * 99 + "。", "No!”"],
), st.sampled_from(["en", "fr", None]))), st.sampled_from([0, 100, 320]))  # fmt: skip
def test_nothing_is_lost_and_no_listener_waits(found: list[Segment], at_once: int) -> None:
    joined = passages(found, at_once)
    assert "".join(s.text for s in joined).replace(" ", "") == "".join(s.text for s in found).replace(" ", "")
    assert joined[:1] == found[:1]
    before = 0
    originals = {segment.text for segment in found}
    for segment in joined:
        if segment.text not in originals:
            assert len(segment.text.replace(" ", "")) <= max(before, at_once)
            assert ends_a_sentence(segment.text)
            dense = sum(character >= "\u2e80" for character in segment.text) * 2 > len(segment.text)
            longest = max(LONGEST_CHARACTERS, at_once)
            assert len(segment.text) <= (longest * LONGEST_DENSE_CHARACTERS // LONGEST_CHARACTERS if dense else longest)
        before += len(segment.text)
