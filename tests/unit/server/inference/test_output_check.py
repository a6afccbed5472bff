"""Audio that cannot be the text is refused; other audio passes unchanged."""

import numpy as np
import pytest

from tts_server.errors import InvalidAudio
from tts_server.inference.client import Samples, Utterance
from tts_server.inference.output_check import OutputCheck

RATE_HZ = 1000


def check(text: str = "words", speed: float = 1.0) -> OutputCheck:
    return OutputCheck(Utterance(text, "ann", None, speed), RATE_HZ)


def sound(seconds: float, level: int = 1000) -> Samples:
    return np.full(int(seconds * RATE_HZ), level, np.int16)


@pytest.mark.parametrize(
    ("text", "speed", "seconds"),
    [
        ("x", 1.0, 60), ("x" * 100, 1.0, 60), ("x" * 101, 1.0, 120), ("x", 0.5, 120), ("x", 4.0, 60),
        ("ሰ" * 100, 1.0, 360), ("x" * 40 + "ሰ" * 10, 1.0, 60), ("x" * 41 + "ሰ" * 10, 1.0, 120),
    ],
)  # fmt: skip
def test_a_minute_for_each_hundred_characters_is_the_most_and_names_of_foreign_ones_count(
    text: str, speed: float, seconds: float
) -> None:
    found = check(text, speed)
    assert found.passed(sound(seconds)) is not None
    with pytest.raises(InvalidAudio, match="far more"):
        found.passed(sound(0.001))


def test_zeros_wait_for_a_sound_and_lose_nothing() -> None:
    found = check()
    assert found.passed(sound(1, 0)) is None
    passed = found.passed(sound(1))
    assert passed is not None
    assert passed.tolist() == [*sound(1, 0).tolist(), *sound(1).tolist()]
    assert not found.silent
    assert found.passed(sound(1, 0)) is not None


def test_silence_is_held_and_a_text_without_letters_may_be_silent() -> None:
    found = check()
    found.passed(sound(2, 0))
    assert found.held().size == 2 * RATE_HZ
    assert not check("...").silent
    assert check("...").passed(sound(1, 0)) is not None
