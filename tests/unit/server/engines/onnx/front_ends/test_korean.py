"""Korean: what happens where syllables meet, and numbers."""

import pytest

from tts_server.engines.onnx.front_ends.korean import Korean, pronounced
from tts_server.engines.onnx.front_ends.korean_numbers import spoken

WORDS = {
    # 표준 발음법, the rule    word      phonemes
    "a word alone":          ("나무", "namu"),
    "voiced between vowels": ("아버지", "abʌʥi"),
    "a coda moves on":       ("산이", "sani"),
    "half a cluster moves":  ("값이", "kapɕi"),
    "only half is heard":    ("없다", "ʌpta"),
    "a cluster before ㄱ":    ("읽고", "ilko"),
    "nasal before a nasal":  ("국물", "kuŋmul"),
    "ㄴ and ㄹ":               ("신라", "ɕilla"),
    "ㄹ after a stop":        ("독립", "toŋnip"),
    "ㄹ after ㅇ":             ("종로", "ʨoŋno"),
    "tense after a stop":    ("학교", "hakkjo"),
    "ㅎ aspirates":           ("좋다", "ʨotʰa"),
    "ㅎ before a vowel":      ("좋아", "ʨoa"),
    "ㅎ of a cluster":        ("많아", "mana"),
    "ㅎ and ㅅ":               ("많소", "manso"),
    "a stop and ㅎ":          ("입학", "ipʰak"),
    "ㅈ and ㅎ":               ("앉히다", "anʨʰida"),
    "ㅌ before i":            ("같이", "kaʨʰi"),
    "ㄷ before i":            ("굳이", "kuʥi"),
    "s before i":            ("시", "ɕi"),
    "the particle":          ("한국의", "hanɡuɡe"),
    "a noun in 의":           ("회의", "hwei"),
    "의 first":               ("의사", "ɰisa"),
}  # fmt: skip


@pytest.mark.parametrize(("word", "phonemes"), WORDS.values(), ids=WORDS)
def test_syllables_meet_by_the_standard_rules(word: str, phonemes: str) -> None:
    assert pronounced(word) == phonemes


NUMBERS = {
    "2024년 3월 5일":      "이천이십사년 삼월 오일",
    "오후 3시 30분":        "오후 세시 삼십분",
    "사과 3개, 20살":       "사과 세개, 스무살",
    "책 21권":             "책 스물한권",
    "3개월":               "삼개월",
    "12,345원":           "만이천삼백사십오원",
    "100,000,000원":      "일억원",
    "10000명":            "만명",
    "98.5%":              "구십팔점오퍼센트",
    "$15":                "십오달러",
    "0":                  "영",
    "010-1234-5678":      "공일공 일이삼사 오육칠팔",
    "007":                "공공칠",
}  # fmt: skip


@pytest.mark.parametrize(("text", "words"), NUMBERS.items())
def test_numbers_are_read_as_words(text: str, words: str) -> None:
    assert spoken(text) == words


def test_punctuation_stays_where_it_is() -> None:
    assert Korean()("네, 가요! 정말?") == "ne, kajo! ʨʌŋmal?"
