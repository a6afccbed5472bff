"""Languages are detected among those that a tenant routes: by script at once, by statistics from 20 letters on."""

import time
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.text_tables import texts_by_language
from tts_server.errors import TextRejected
from tts_server.text import segments
from tts_server.text.language_detection import FEWEST_LETTERS, SAMPLE_CHARACTERS, Identify, needs_statistics
from tts_server.text.statistical_model import load

HELD_OUT = texts_by_language()
TEN = ("en", "de", "es", "fr", "it", "pt", "nl", "pl", "zh", "ja")
LEAST_ACCURACY = 0.97


@pytest.fixture(scope="module")
def identify() -> Identify:
    return load()


def languages(text: str, default: str | None, routed: tuple[str, ...], identify: Identify | None = None) -> list[str]:
    found = segments(text, default_language=default, routed_languages=routed, identify=identify)
    return [f"{segment.language}: {segment.text}" for segment in found]


def test_the_held_out_list_has_twenty_texts_in_each_of_ten_languages() -> None:
    assert {language: sum(each == language for each, _ in HELD_OUT) for language in TEN} == dict.fromkeys(TEN, 20)
    assert len({text for _, text in HELD_OUT}) == len(HELD_OUT) == 200


@pytest.mark.parametrize("default", ["en", "de", "zh"])
def test_a_text_of_twenty_letters_is_in_its_language(identify: Identify, default: str) -> None:
    """A text counts only if every segment of it is in its language."""
    long = [(language, text) for language, text in HELD_OUT if sum(map(str.isalpha, text)) >= FEWEST_LETTERS]
    wrong = []
    for language, text in long:
        found = segments(text, default_language=default, routed_languages=TEN, identify=identify)
        if {segment.language for segment in found} != {language}:
            wrong.append((language, text))
    print(f"\ndefault {default}: {len(long) - len(wrong)} of {len(long)} texts of {FEWEST_LETTERS} letters and more")
    assert len(long) > 130
    assert len(wrong) / len(long) <= 1 - LEAST_ACCURACY, wrong


STATISTICS: dict[str, tuple[str, list[str]]] = {
    "a sentence": ("Wo ist bitte der nächste Bahnhof?", ["de: Wo ist bitte der nächste Bahnhof?"]),
    "fewer letters are the default": ("Bonjour tout le monde", ["en: Bonjour tout le monde"]),
    "a short sentence takes the language around it": (
        "Ja. Der Zug nach Hamburg fährt heute von Gleis neun ab. Danke.",
        ["de: Ja.", "de: Der Zug nach Hamburg fährt heute von Gleis neun ab.", "de: Danke."],
    ),
    "so does a short line": (
        "Das müssen wir heute noch einkaufen:\nMilch\nButter",
        ["de: Das müssen wir heute noch einkaufen:", "de: Milch", "de: Butter"],
    ),
    "sentences of two languages": (
        "Please listen to the following announcement. Der Zug nach Hamburg fährt heute von Gleis neun ab.",
        [
            "en: Please listen to the following announcement.",
            "de: Der Zug nach Hamburg fährt heute von Gleis neun ab.",
        ],
    ),
    "sentences end by the rules of the detected language": (
        "Ich habe am 3. Juni Geburtstag und lade dich ein.",
        ["de: Ich habe am 3. Juni Geburtstag und lade dich ein."],
    ),
    "names do not change the language": (
        "Turn right onto Karl-Marx-Straße, then left.",
        ["en: Turn right onto Karl-Marx-Straße, then left."],
    ),
    "an address does not": ("https://www.example.com/foo/bar/index.html", ["en: https://www.example.com/foo/bar/index.html"]),
    "Latin inside Chinese has a language of its own": (
        "他说 ich möchte gerne ein Glas Wasser 然后笑了。",
        ["zh: 他说", "de: ich möchte gerne ein Glas Wasser", "zh: 然后笑了。"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), STATISTICS.values(), ids=STATISTICS)
def test_statistics(text: str, expected: list[str], identify: Identify) -> None:
    assert languages(text, "en", TEN, identify) == expected


SCRIPTS: dict[str, tuple[str, str | None, tuple[str, ...], list[str]]] = {
    "the only language of an alphabet": ("Say спасибо to him", "en", ("ru",), ["en: Say", "ru: спасибо", "en: to him"]),
    "Latin is not the default where that has another script": ("你好 hello", "zh", ("en",), ["zh: 你好", "en: hello"]),
    "the first of several, if it is short": ("你好 hello", "zh", ("en", "de"), ["zh: 你好", "en: hello"]),
    "without a routed one it is the default": ("你好 hello", "zh", ("ja",), ["zh: 你好 hello"]),
    "without a default nobody knows what Latin is": ("hello 你好", None, ("fr", "zh"), ["None: hello", "zh: 你好"]),
    "Cantonese by its own characters": ("佢哋喺邊度呀？", "en", ("zh", "yue"), ["yue: 佢哋喺邊度呀？"]),
    "Mandarin beside Cantonese": ("他们在哪里？", "en", ("zh", "yue"), ["zh: 他们在哪里？"]),
    "Han where only Cantonese is routed": ("他们在哪里？", "en", ("yue",), ["yue: 他们在哪里？"]),
    "Cantonese where only Mandarin is routed": ("佢哋喺邊度呀？", "en", ("zh",), ["zh: 佢哋喺邊度呀？"]),
    "Han where only Japanese is routed": ("東京駅", "en", ("ja",), ["ja: 東京駅"]),
    "a unit stays with its number": ("这个包裹重3kg左右。", "zh", ("en",), ["zh: 这个包裹重3kg左右。"]),
    "a speed, too": ("限速50 km/h。", "zh", ("en",), ["zh: 限速50 km/h。"]),
    "a word after a number does not": ("我有3 cats。", "zh", ("en",), ["zh: 我有3", "en: cats。"]),
    "two varieties of a language are the default's": ("Hello there", "en-gb", ("en-us",), ["en-gb: Hello there"]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "default", "routed", "expected"), SCRIPTS.values(), ids=SCRIPTS)
def test_scripts(text: str, default: str | None, routed: tuple[str, ...], expected: list[str]) -> None:
    assert languages(text, default, routed) == expected


NEEDED: dict[str, tuple[str | None, tuple[str, ...], bool]] = {
    "one language": ("en", (), False),
    "one of each script": ("en", ("zh", "ja", "ko", "ru", "ar"), False),
    "two of the Latin script": ("en", ("de",), True),
    "two of the Cyrillic script": ("en", ("ru", "uk"), True),
    "varieties of one language": ("en-us", ("en-gb", "zh", "yue"), False),
    "no default": (None, ("en", "de"), False),
}


@pytest.mark.parametrize(("default", "routed", "expected"), NEEDED.values(), ids=NEEDED)
def test_statistics_are_needed_where_two_languages_share_an_alphabet(
    default: str | None, routed: tuple[str, ...], expected: bool
) -> None:
    assert needs_statistics(default, routed) is expected


def test_the_model_sees_a_bounded_part_of_each_text_once() -> None:
    seen: list[str] = []

    def identify(text: str) -> Mapping[str, float]:
        seen.append(text)
        return {"en": 0.0, "de": -1.0}

    segments("word " * 2000 + "字", default_language="en", routed_languages=["de", "zh"], identify=identify)
    assert len(seen) == len(set(seen)) > 0
    assert max(map(len, seen)) <= SAMPLE_CHARACTERS


def test_a_language_that_the_model_lacks_is_never_preferred() -> None:
    text = "This is a text of more than twenty letters."
    found = segments(text, default_language="en", routed_languages=["tlh"], identify=lambda _: {"en": -9.0})
    assert [segment.language for segment in found] == ["en"]


@pytest.mark.parametrize("unit", ["字 word ", "字3kg", "Привет hello ", "ich bin. ", "我 "])
def test_a_hundred_thousand_characters_take_linear_time(unit: str) -> None:
    begun = time.process_time()
    languages(unit * (100_000 // len(unit)), "en", ("de", "ru", "zh", "ja"), lambda _: {"en": 0.0, "de": 5.0})
    assert time.process_time() - begun < 5


@given(
    st.lists(
        st.sampled_from(
            ["Guten Morgen, wie geht es dir? ", "the quick brown fox ", "word", "你好", "こんにちは。", "안녕", "3kg",
             "佢哋", ". ", "\n", "\n\n", "<lang=de>", "</lang>", "é", "\u0301", "½", "x" * 300, "字" * 120, "Привет"]
        ),
        max_size=40,
    ).map("".join)
    | st.text()
)  # fmt: skip
def test_any_text_is_segmented_whole_with_statistics_too(text: str) -> None:
    def by_length(sample: str) -> Mapping[str, float]:
        return {code: float(len(sample) * at % 17) for at, code in enumerate(("en", "de", "fr", "ru"), start=1)}

    def words(identify: Identify | None) -> str:
        found = segments(text, default_language="en", routed_languages=TEN, identify=identify)
        assert all(segment.language in TEN for segment in found)
        return "".join("".join(segment.text.split()) for segment in found)

    try:
        expected = words(None)
    except TextRejected:
        return
    assert words(by_length) == expected
