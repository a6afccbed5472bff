"""Runs of one script, so that each front end gets only what it reads."""

import pytest

from tts_server.engines.onnx.front_ends.script_runs import Script, script_runs

RUNS: dict[str, tuple[str, Script, list[tuple[str, str]]]] = {
    "nothing":        ("", Script.LATIN, []),
    "one script":     ("Hello, world 7!", Script.LATIN, [("Latin", "Hello, world 7!")]),
    "Latin in Han":   ("我用iPhone 15，好。", Script.HAN, [("Han", "我用"), ("Latin", "iPhone"), ("Han", " 15，好。")]),
    "several words":  ("他说don't stop吗", Script.HAN, [("Han", "他说"), ("Latin", "don't stop"), ("Han", "吗")]),
    "Han in Latin":   ("Say 你好 now.", Script.LATIN, [("Latin", "Say "), ("Han", "你好"), ("Latin", " now.")]),
    "kanji and kana": ("東京でGoogleを使う。", Script.JAPANESE, [("Japanese", "東京で"), ("Latin", "Google"),
                                                       ("Japanese", "を使う。")]),
    "kana in Han":    ("日本の。", Script.HAN, [("Han", "日本"), ("Japanese", "の"), ("Han", "。")]),
    "Hangul":         ("김 씨는 IT를", Script.HANGUL, [("Hangul", "김 씨는 "), ("Latin", "IT"), ("Hangul", "를")]),
    "Devanagari":     ("यह USB", Script.DEVANAGARI, [("Devanagari", "यह "), ("Latin", "USB")]),
    "accents":        ("Où est l'été?", Script.LATIN, [("Latin", "Où est l'été?")]),
    "other letters":  ("Привет 7", Script.LATIN, [("Latin", "Привет 7")]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "own", "expected"), RUNS.values(), ids=RUNS)
def test_text_is_divided_by_script(text: str, own: Script, expected: list[tuple[str, str]]) -> None:
    runs = list(script_runs(text, own))
    assert [(script.value, run) for script, run in runs] == expected
    assert "".join(run for _, run in runs) == text
