"""Text is cut into segments before synthesis: tables of real sentences, then properties over any text at all."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_server.errors import TextRejected
from tts_server.text import Pause, Segment, segments
from tts_server.text.normalization import WORD_BREAK, normalized
from tts_server.text.parts import LONGEST_CHARACTERS, LONGEST_DENSE_CHARACTERS

LANGUAGES = ("en", "fr", "zh", "ja", "ko")


def spoken(text: str, *, default: str = "en", requested: str | None = None) -> list[str]:
    found = segments(text, default_language=default, routed_languages=LANGUAGES, requested_language=requested)
    return [f"{segment.language}: {segment.text}" for segment in found]


SENTENCES: dict[str, tuple[str, list[str]]] = {
    "plain English": ("Hello world. How are you? Fine!", ["en: Hello world.", "en: How are you?", "en: Fine!"]),
    "no end at all": ("Hello world", ["en: Hello world"]),
    "a title and initials": (
        "Dr. Smith met J. R. Tolkien. He left.",
        ["en: Dr. Smith met J. R. Tolkien.", "en: He left."],
    ),
    "a decimal, a version and a host": (
        "Pi is 3.14, not 3.2.1. See example.com/a.b now. Bye.",
        ["en: Pi is 3.14, not 3.2.1.", "en: See example.com/a.b now.", "en: Bye."],
    ),
    "an initialism": ("The U.S. Army came. It left.", ["en: The U.S. Army came.", "en: It left."]),
    "the pronoun ends a sentence": ("So did I. Then we left.", ["en: So did I.", "en: Then we left."]),
    "a numbered thing": (
        "See no. 5 first. He said no. Then he left.",
        ["en: See no. 5 first.", "en: He said no.", "en: Then he left."],
    ),
    "a list number": ("1. Open the door.", ["en: 1. Open the door."]),
    "ellipses and doubled marks": ("Wait... what?! Yes…", ["en: Wait... what?!", "en: Yes…"]),
    "closing quotes stay": ('"Stop." He stopped.', ['en: "Stop."', "en: He stopped."]),
    "paragraphs": ("A title\n\nIts text", ["en: A title", "en: Its text"]),
    "Chinese": ("你好。今天天气很好！是吗？", ["zh: 你好。", "zh: 今天天气很好！", "zh: 是吗？"]),
    "Arabic": ("كيف حالك؟ أنا بخير.", ["en: كيف حالك؟", "en: أنا بخير."]),
    "Hindi": ("नमस्ते। आप कैसे हैं?", ["en: नमस्ते।", "en: आप कैसे हैं?"]),
    "a mark alone joins its neighbour": ("Well — . Yes.", ["en: Well — .", "en: Yes."]),
    "nothing but marks": ("?!", ["en: ?!"]),
}


@pytest.mark.parametrize(("text", "expected"), SENTENCES.values(), ids=SENTENCES)
def test_sentences(text: str, expected: list[str]) -> None:
    assert spoken(text) == expected


SCRIPTS: dict[str, tuple[str, list[str]]] = {
    "Han alone is Chinese": ("东京", ["zh: 东京"]),
    "Han beside kana is Japanese": ("東京はきれいです。", ["ja: 東京はきれいです。"]),
    "kana in one sentence says nothing of the next": (
        "東京です。北京很好。",
        ["ja: 東京です。", "zh: 北京很好。"],
    ),
    "Hangul is Korean": ("안녕하세요 여러분", ["ko: 안녕하세요 여러분"]),
    "Latin inside Chinese": ("我用 Redis 数据库", ["zh: 我用", "en: Redis", "zh: 数据库"]),
    "digits stay where they are": ("我有 12 个", ["zh: 我有 12 个"]),
    "leading digits go with the first letters": ("12 个人", ["zh: 12 个人"]),
    "Latin is the default, whatever it is": ("Bonjour tout le monde", ["en: Bonjour tout le monde"]),
}


@pytest.mark.parametrize(("text", "expected"), SCRIPTS.values(), ids=SCRIPTS)
def test_scripts(text: str, expected: list[str]) -> None:
    assert spoken(text) == expected


def test_a_script_that_the_tenant_does_not_route_is_the_defaults() -> None:
    found = segments("Hello 世界", default_language="en", routed_languages=["en", "fr"])
    assert found == [Segment("Hello 世界", "en")]


def test_a_script_finds_the_routed_variety_of_its_language() -> None:
    assert segments("你好", default_language="en", routed_languages=["zh-CN"]) == [Segment("你好", "zh-CN")]


def test_without_any_language_the_voice_decides() -> None:
    assert segments("Hello.") == [Segment("Hello.", None, Pause.SENTENCE)]


TAGS: dict[str, tuple[str, list[str]]] = {
    "a tag": ("I say <lang=fr>bonjour</lang> to you", ["en: I say", "fr: bonjour", "en: to you"]),
    "any case, and a region": ("<lang=FR-ca>salut</lang>", ["fr: salut"]),
    "a tag beats the script": ("<lang=ja>東京</lang>", ["ja: 東京"]),
    "nested": ("<lang=fr>un <lang=en>two</lang> trois</lang>", ["fr: un", "en: two", "fr: trois"]),
    "two sentences in one": ("<lang=fr>Un. Deux.</lang>", ["fr: Un.", "fr: Deux."]),
    "an empty one": ("a<lang=fr> </lang>b", ["en: a", "en: b"]),
    "an unknown language is text": ("<lang=qq>a</lang>", ["en: <lang=qq>a</lang>"]),
    "a stray end is text": ("a</lang>b", ["en: a</lang>b"]),
    "any other < is text": (
        "if a<b and <b>c</b> <lang> <lang=> 1 < 2",
        ["en: if a<b and <b>c</b> <lang> <lang=> 1 < 2"],
    ),
    "SSML is text": ("<speak>hi</speak>", ["en: <speak>hi</speak>"]),
}


@pytest.mark.parametrize(("text", "expected"), TAGS.values(), ids=TAGS)
def test_tags(text: str, expected: list[str]) -> None:
    assert spoken(text) == expected


def test_the_request_beats_the_script_and_the_tag_beats_the_request() -> None:
    assert spoken("東京 <lang=fr>Paris</lang>", requested="ja") == ["ja: 東京", "fr: Paris"]


@pytest.mark.parametrize("text", ["<lang=fr>bonjour", "a <lang=en>b <lang=fr>c</lang>"])
def test_a_tag_that_is_never_closed_names_the_parameter(text: str) -> None:
    with pytest.raises(TextRejected, match="never closed") as caught:
        segments(text, default_language="en", routed_languages=LANGUAGES, param="text")
    assert caught.value.param == "text"
    assert "bonjour" not in caught.value.message


@pytest.mark.parametrize("text", ["", "  \n\t ", "\u3000", "<lang=fr></lang>"])
def test_text_with_nothing_in_it_is_refused(text: str) -> None:
    with pytest.raises(TextRejected, match="empty"):
        segments(text, default_language="en", routed_languages=LANGUAGES)


def test_a_long_sentence_is_cut_at_its_pauses() -> None:
    clause = "the quick brown fox jumps over the lazy dog and goes on to sleep"
    found = spoken(", ".join([clause] * 8))
    assert all(len(segment) <= LONGEST_CHARACTERS + 4 for segment in found)
    assert all(segment.endswith((",", "sleep")) for segment in found)


def test_a_long_sentence_without_pauses_is_cut_between_words() -> None:
    assert {word for segment in spoken("word " * 300) for word in segment.split()[1:]} == {"word"}


def test_a_long_chinese_sentence_is_cut_sooner_than_a_latin_one() -> None:
    assert max(len(segment) for segment in spoken("我" * 500)) <= LONGEST_DENSE_CHARACTERS + 4


def test_a_number_is_not_a_pause() -> None:
    found = spoken("word " * 46 + "1,000,000,000 things and more words after that to make it long enough for a cut")
    assert any("1,000,000,000" in segment for segment in found)


def test_an_accent_stays_with_its_letter() -> None:
    found = segments("e\u0301" * 300, default_language="fr")
    assert not any(segment.text.startswith("\u0301") for segment in found)


@pytest.mark.parametrize("unit", ["!", ". ", "dr. ", "A. ", "…字", "</lang>", "\n \n", ", "])
def test_a_hundred_thousand_marks_take_linear_time(unit: str) -> None:
    """Quadratic rules took a minute for a fifth of this."""
    begun = time.process_time()
    segments(unit * (100_000 // len(unit)) + "a", default_language="en", routed_languages=LANGUAGES)
    assert time.process_time() - begun < 5


TEXT = st.one_of(
    st.text(),
    st.lists(
        st.sampled_from(
            ["a", "word ", "Dr. ", "3.14", ". ", "! ", "。", "？", "你好", "こんにちは", "안녕", "؟ ", "।", "\n\n", "…",
             ",", "<", ">", "<lang=fr>", "<lang=qq>", "</lang>", "e\u0301", "🙂", "\u200d", "\x00", "\ud800", " ",
             "x" * 300, "字" * 120]
        ),
        max_size=60,
    ).map("".join),
)  # fmt: skip


@given(TEXT)
def test_any_text_is_segmented_whole_or_refused(text: str) -> None:
    try:
        found = segments(text, default_language="en", routed_languages=LANGUAGES)
    except TextRejected:
        return
    assert all(segment.text.strip() == segment.text != "" for segment in found)
    assert all(len(segment.text) <= LONGEST_CHARACTERS for segment in found)
    assert all(segment.language in LANGUAGES for segment in found)
    assert without_spaces("".join(segment.text for segment in found)) == without_spaces(untagged(text))


@given(TEXT.filter(lambda text: "<lang=" not in text and without_spaces(normalized(text)) != ""))
def test_text_without_tags_and_with_something_in_it_is_never_refused(text: str) -> None:
    assert segments(text, default_language="en", routed_languages=LANGUAGES)


def without_spaces(text: str) -> str:
    return "".join(character for character in text if not (character.isspace() or character == WORD_BREAK))


def untagged(text: str) -> str:
    """The plain reading of the rule: drop known tags, and as many ends as there are known tags open; normalize."""
    kept, depth = [], 0
    for piece in re.split(r"(<lang=fr>|</lang>)", text):
        if piece == "<lang=fr>":
            depth += 1
        elif piece == "</lang>" and depth:
            depth -= 1
        else:
            kept.append(normalized(piece))
    return "".join(kept)
