"""Neural voices say what is written: a speech recognizer reads their sentences back."""

import pytest

from tests.support.speech_recognizer import characters, heard, words, wrong_characters, wrong_words
from tests.support.timeouts import HANG_SECONDS
from tests.support.worker_pools import patient_pool, synthesized
from tts_server.inference.client import Utterance

# Without digits and proper names, which a recognizer writes in more ways than one.
SENTENCES = (
    "The quick brown fox jumps over the lazy dog.",
    "Your appointment with the doctor has been moved to Thursday afternoon.",
    "Please keep your seat belt fastened while the sign is on.",
    "Thank you for calling. Somebody will be with you in a moment.",
    "She bought fresh bread and a bottle of milk at the market this morning.",
    "The train to the airport leaves from the second platform every half hour.",
    "We are sorry, but the number that you have dialed is not in service.",
    "A small group of students walked slowly across the old stone bridge.",
    "Could you tell me where I can find the nearest post office?",
    "Heavy rain is expected tonight, with strong winds along the coast.",
)
MOST_WRONG = 0.063
"""A part of all words: seven of 119. A voice that is understood has fewer, one that swallows sounds has more."""


@pytest.mark.parametrize("speed", [1.0, 1.25])
async def test_a_recognizer_reads_the_built_in_voice(speed: float) -> None:
    pool = patient_pool("onnx", options={"family": "Hibari"})
    await pool.start()
    try:
        wrong = 0
        for sentence in SENTENCES:
            spoken = await synthesized(pool, Utterance(sentence, "heart", speed=speed))
            wrong += wrong_words(sentence, heard(spoken, pool.sample_rate_hz))
    finally:
        await pool.stop()
    assert wrong / sum(len(words(sentence)) for sentence in SENTENCES) <= MOST_WRONG


async def test_numbers_dates_and_prices_are_read_as_words() -> None:
    pool = patient_pool("onnx", options={"family": "Hibari"})
    await pool.start()
    try:
        spoken = await synthesized(pool, Utterance("It costs $9.99 on March 3rd.", "heart"))
    finally:
        await pool.stop()
    recognized = heard(spoken, pool.sample_rate_hz)
    assert "9.99" in recognized or "nine dollars and ninety-nine cents" in recognized.lower()
    assert "March 3" in recognized or "march third" in recognized.lower()


# Kokoro needs seconds for a sentence: one in each of four scripts, by a voice that is not measured elsewhere.
KOKORO = {
    # language  voice           sentence                                                  characters that may be wrong
    "en":      ("bf_emma",     "Could you tell me where I can find the nearest post office?", 2),
    "zh":      ("zf_xiaoxiao", "请问最近的地铁站在哪里？今天天气很好。", 1),
    "ja":      ("jf_alpha",    "今日は天気がいいので、公園を散歩しましょう。", 2),
    "ko":      ("jf_alpha",    "가까운 지하철역이 어디에 있는지 알려 주세요.", 2),
}  # fmt: skip


async def test_a_recognizer_reads_kokoro_in_four_languages() -> None:
    """It takes 15 seconds on an idle core."""
    pool = patient_pool("onnx", options={"family": "Kokoro"}, first_audio_timeout_seconds=4 * HANG_SECONDS)
    await pool.start()
    try:
        for language, (voice, sentence, most_wrong) in KOKORO.items():
            spoken = await synthesized(pool, Utterance(sentence, voice, language))
            recognized = heard(spoken, pool.sample_rate_hz, language)
            wrong = wrong_characters(sentence, recognized)
            assert wrong <= most_wrong, f"{language}: {recognized}"
            assert wrong_characters(sentence, "") == len(characters(sentence))
    finally:
        await pool.stop()


def test_a_text_that_says_something_else_is_noticed() -> None:
    assert wrong_words("the quick brown fox", "the quick brown fox") == 0
    assert wrong_words("the quick brown fox", "The quick, brown box!") == 1
    assert wrong_words("the quick brown fox", "quick brown fox jumps") == 2
    assert wrong_words("one two", "") == 2
