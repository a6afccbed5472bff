"""Adapters of engine Onnx: a low-rank change of a projection is heard, in its own voice only, and costs its memory."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hibari
import numpy as np
import pytest

from hack.make_adapter import calmer, write
from tests.support.speech_recognizer import heard, wrong_words
from tts_server.cache.key import weights
from tts_server.config.schema import LocalEngine, ModelConfig, OnnxAdapterConfig, OnnxConfig
from tts_server.engines.onnx.engine import Onnx
from tts_server.engines.onnx.initializers import read_initializers
from tts_server.errors import EngineUnavailable

GRAPH = Path(hibari.__file__).parent / "assets" / "hibari.onnx"
SENTENCE = "Thank you for calling. Somebody will be with you in a moment."


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The adapter that `python -m hack.make_adapter` makes."""
    file = tmp_path_factory.mktemp("adapter") / "calm.npz"
    write(file, calmer(GRAPH))
    return file


def adapter(file: Path, **changes: Any) -> Mapping[str, Any]:
    return {"name": "calm", "file": str(file), "voices": {"heart-calm": "heart"}} | changes


def spoken(engine: Onnx, voice: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.concatenate(list(engine.speak(SENTENCE, voice, None, 1.0)))


def test_an_adapter_changes_its_voice_and_no_other(calm: Path) -> None:
    plain, adapted = Onnx("Hibari"), Onnx("Hibari", adapters=[adapter(calm)])
    assert dict(adapted.voices) == {"heart": ("en-us", "en"), "heart-calm": ("en-us", "en")}
    heart, changed = spoken(adapted, "heart"), spoken(adapted, "heart-calm")
    np.testing.assert_array_equal(heart, spoken(plain, "heart"))
    np.testing.assert_array_equal(changed, spoken(adapted, "heart-calm"))
    assert changed.size != heart.size or not np.allclose(changed, heart, atol=0.01)
    assert wrong_words(SENTENCE, heard((changed * 32767).astype(np.int16), 24_000)) <= 1


def test_without_a_change_the_voice_stays_the_same(calm: Path, tmp_path: Path) -> None:
    with np.load(calm) as archive:
        nothing = {name: np.zeros_like(archive[name]) for name in archive.files}
    file = tmp_path / "nothing.npz"
    np.savez(file, **nothing)
    engine = Onnx("Hibari", adapters=[adapter(file)])
    np.testing.assert_array_equal(spoken(engine, "heart"), spoken(engine, "heart-calm"))


def test_a_quantized_weight_is_changed_too(tmp_path: Path) -> None:
    name = "/head/Transpose_output_0"
    weight = read_initializers(GRAPH, {f"{name}_quantized"})[f"{name}_quantized"]
    pair = {f"{name}.A": np.ones((1, weight.shape[1])), f"{name}.B": np.full((weight.shape[0], 1), 0.002)}
    file = tmp_path / "louder.npz"
    np.savez(file, **pair)  # type: ignore[arg-type]  # numpy's stubs take a mapping for flags
    engine = Onnx("Hibari", adapters=[adapter(file)])
    changed, heart = spoken(engine, "heart-calm"), spoken(engine, "heart")
    assert changed.size == heart.size
    assert not np.allclose(changed, heart, atol=0.01)


def test_the_key_of_cached_audio_follows_the_adapter(calm: Path) -> None:
    def key(*adapters: OnnxAdapterConfig) -> str:
        engine = LocalEngine(type="Onnx", onnx=OnnxConfig(family="Hibari", adapters=adapters))
        return weights(ModelConfig(name="heart", engine=engine))

    one = OnnxAdapterConfig(name="calm", file=calm, voices={"heart-calm": "heart"})
    assert len({key(), key(one), key(one.model_copy(update={"file": calm.with_name("other.npz")}))}) == 3


def archive(folder: Path, **arrays: np.ndarray[Any, Any]) -> Path:
    file = folder / "adapter.npz"
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file


def no_archive(folder: Path) -> Path:
    file = folder / "adapter.npz"
    file.write_bytes(b"PK no archive")
    return file


ONE = np.ones((1, 4))
WRONG = {
    "no file": (lambda folder: folder / "none.npz", {}, "There is no file .* of adapter calm"),
    "no archive": (no_archive, {}, "is not an archive of arrays"),
    "nothing in it": (lambda folder: archive(folder, x=ONE), {}, "has no array style, and no pairs"),
    "an unknown weight": (
        lambda folder: archive(folder, **{"w.A": ONE, "w.B": ONE.T}),
        {},
        "changes the weight w,",
    ),
    "a weight of another size": (
        lambda folder: archive(folder, **{"pn.pro_in.weight.A": ONE, "pn.pro_in.weight.B": ONE.T}),
        {},
        "pn.pro_in.weight is 192 x 192 x 1, the pair is 4 x 1 and 1 x 4",
    ),
    "a style": (lambda folder: archive(folder, style=ONE), {}, "is a style; voices of this family have none"),
    "a voice that nobody has": (
        lambda folder: archive(folder, style=ONE),
        {"voices": {"a": "b"}},
        "adapts the voice b",
    ),
    "a voice that exists": (
        lambda folder: archive(folder, style=ONE),
        {"voices": {"heart": "heart"}},
        "exists already",
    ),
}


@pytest.mark.parametrize(("make", "changes", "message"), WRONG.values(), ids=WRONG)
def test_what_is_no_adapter_is_one_sentence(make: Any, changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=message) as raised:
        Onnx("Hibari", adapters=[adapter(make(tmp_path), **changes)])
    assert "\n" not in raised.value.message
