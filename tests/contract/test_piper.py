"""Voices of the project Piper: one speaker that a recognizer understands, and several in one graph."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.speech_recognizer import heard, wrong_words
from tests.support.timeouts import HANG_SECONDS
from tests.support.tiny_graphs import LOUDNESS, PIPER_JOE, two_speakers
from tests.support.worker_pools import synthesized
from tts_server.engines.onnx.engine import Onnx
from tts_server.errors import EngineError
from tts_server.inference.client import Utterance
from tts_server.inference.pool.worker_pool import WorkerPool

SENTENCES = (
    "Please keep your seat belt fastened while the sign is on.",
    "The train to the airport leaves from the second platform every half hour.",
)


def spoken(
    engine: Onnx, text: str, voice: str, speed: float = 1.0
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.concatenate(list(engine.speak(text, voice, None, speed)))


async def test_a_recognizer_understands_the_voice_and_speed_divides_its_duration() -> None:
    # Without noise every run sounds the same: with it, the recognizer now and then hears more words wrong.
    options = {"family": "Piper", "files": {"model": str(PIPER_JOE)}, "noise_scale": 0.0, "noise_width": 0.0}
    pool = WorkerPool("onnx", options=options, first_audio_timeout_seconds=HANG_SECONDS)
    await pool.start()
    try:
        natural = [await synthesized(pool, Utterance(text, "joe")) for text in SENTENCES]
        fast = await synthesized(pool, Utterance(SENTENCES[0], "joe", speed=2.0))
    finally:
        await pool.stop()
    assert pool.sample_rate_hz == 22_050
    assert pool.voices == {"joe": ("en-us", "en")}
    wrong = sum(
        wrong_words(text, heard(sound, pool.sample_rate_hz)) for text, sound in zip(SENTENCES, natural, strict=True)
    )
    assert wrong <= 3  # of 25, the same three in each run; a larger recognizer hears 8.4 % of this voice wrong
    assert natural[0].size / fast.size == pytest.approx(2.0, rel=0.2)  # the graph varies durations


def test_each_speaker_of_a_graph_is_a_voice(tmp_path: Path) -> None:
    engine = Onnx("Piper", {"model": str(two_speakers(tmp_path))}, noise_scale=0.0, noise_width=0.0)
    assert dict(engine.voices) == {"quiet": ("en-us", "en"), "loud": ("en-us", "en")}
    for voice, level in zip(engine.voices, LOUDNESS, strict=True):
        assert set(spoken(engine, "Hello there.", voice)) == {np.float32(level)}
    natural = spoken(engine, "Hello there.", "loud").size
    assert spoken(engine, "Hello there.", "loud", 0.5).size == 2 * natural, "the graph is slower by its length scale"
    assert spoken(engine, "Hello there.", "loud", 2.0).size == pytest.approx(natural / 2, rel=0.05)


def test_the_scales_of_noise_are_those_of_the_options_else_of_the_description(tmp_path: Path) -> None:
    graph = two_speakers(tmp_path, inference={"noise_scale": 0.25, "noise_w": 0.125, "length_scale": 1})
    described = Onnx("Piper", {"model": str(graph)})
    set_here = Onnx("Piper", {"model": str(graph)}, noise_scale=0.0)
    assert spoken(described, "Hello.", "quiet")[0] == pytest.approx(0.1 + 0.25 + 0.125)
    assert spoken(set_here, "Hello.", "quiet")[0] == pytest.approx(0.1 + 0.125)


def test_text_without_a_word_is_silence_and_of_another_script_an_error(tmp_path: Path) -> None:
    engine = Onnx("Piper", {"model": str(two_speakers(tmp_path))})
    assert not spoken(engine, "...", "loud").any()
    with pytest.raises(EngineError, match="has no voice nobody"):
        spoken(engine, "Hello.", "nobody")
    assert spoken(engine, "Hello, " * 200, "loud").size > 400_000, "long texts come in pieces"


def test_a_reader_that_dies_is_started_again(tmp_path: Path) -> None:
    from tts_server.engines.onnx.front_ends import piper_phonemes

    engine = Onnx("Piper", {"model": str(two_speakers(tmp_path))})
    process = piper_phonemes._process._process
    assert process is not None
    process.kill()
    process.wait()
    with pytest.raises(EngineError, match="eSpeak NG failed"):
        spoken(engine, "Hello.", "loud")
    assert spoken(engine, "Hello.", "loud").any()
