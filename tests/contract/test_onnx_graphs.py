"""Graphs that are not what the configuration says: one sentence at the start, and no process is left."""

from collections.abc import Callable
from pathlib import Path

import hibari
import numpy as np
import pytest

from tests.support.timeouts import HANG_SECONDS
from tests.support.tiny_graphs import PIPER_JOE, describe
from tests.support.worker_pools import synthesized
from tts_server.engines.onnx.engine import Onnx
from tts_server.errors import EngineUnavailable
from tts_server.inference.client import Utterance
from tts_server.inference.pool.worker_pool import WorkerPool

ASSETS = Path(hibari.__file__).parent / "assets"


def truncated(folder: Path) -> Path:
    file = folder / "half.onnx"
    file.write_bytes((ASSETS / "hibari.onnx").read_bytes()[:1_000_000])
    return file


FILES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "none": (lambda folder: folder / "missing.onnx", "There is no file {}."),
    "a part of a graph": (truncated, "{} is not an ONNX graph, or only a part of one."),
    "no graph": (lambda _: ASSETS / "vocab.json", "{} is not an ONNX graph, or only a part of one."),
    "a graph of another family": (lambda _: ASSETS / "oov.onnx", "The graph {} has the inputs "),
}


@pytest.mark.parametrize(("file", "message"), FILES.values(), ids=FILES)
async def test_a_wrong_file_is_one_sentence(file: Callable[[Path], Path], message: str, tmp_path: Path) -> None:
    path = file(tmp_path)
    pool = WorkerPool("onnx", options={"family": "Hibari", "files": {"model": str(path)}})
    with pytest.raises(EngineUnavailable) as raised:
        await pool.start()
    assert raised.value.message.startswith(message.format(path))
    assert "\n" not in raised.value.message
    assert pool.pids == []


async def test_an_unknown_family_is_one_sentence() -> None:
    with pytest.raises(EngineUnavailable, match="Engine Onnx has no family Nobodys; it has Hibari, "):
        await WorkerPool("onnx", options={"family": "Nobodys"}).start()


LEVELS = "must be one of Disabled, Basic, Extended, All."
SESSIONS = {
    "no such level": (
        {"graph_optimization_level": "Most"},
        f"graphOptimizationLevel .* is Most; it {LEVELS}",
    ),
    "no such device": ({"device": "TPU"}, "sessionOptions.device .* is TPU; it must be one of CPU, CUDA."),
    "no such arena": (
        {"memory_arena": "Big"},
        "memoryArena .* is Big; it must be one of Returned, Kept",
    ),
    "a device without its library": ({"device": "CUDA"}, "sessionOptions.device is CUDA, .* install onnxruntime-gpu"),
}


@pytest.mark.parametrize(("options", "message"), SESSIONS.values(), ids=SESSIONS)
def test_a_wrong_session_option_is_one_sentence(options: dict[str, str], message: str) -> None:
    with pytest.raises(EngineUnavailable, match=message):
        Onnx("Hibari", session_options=options)


@pytest.mark.parametrize("options", [{"memory_arena": "Kept"}, {"memory_arena": "Off"}])
def test_session_options_do_not_change_the_sound(options: dict[str, str]) -> None:
    spoken = [
        np.concatenate(list(Onnx("Hibari", session_options=each).speak("Yes.", "heart", None, 1.0)))
        for each in (None, options)
    ]
    np.testing.assert_array_equal(spoken[0], spoken[1])


def joe_of(folder: Path, **description: object) -> Path:
    """A link to joe's graph, with a description of its own beside it."""
    link = folder / "joe.onnx"
    link.symlink_to(PIPER_JOE)
    describe(link, **description)
    return link


def hibari_as_joe(folder: Path) -> Path:
    file = folder / "joe.onnx"
    file.symlink_to(ASSETS / "hibari.onnx")
    describe(file)
    return file


def without_description(folder: Path) -> Path:
    file = folder / "joe.onnx"
    file.symlink_to(PIPER_JOE)
    return file


def with_no_json(folder: Path) -> Path:
    file = without_description(folder)
    file.with_name("joe.onnx.json").write_text("no")
    return file


PIPERS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no description": (
        without_description,
        "There is no file .*joe.onnx.json, which describes the voice",
    ),
    "no JSON": (with_no_json, r"joe.onnx.json is not a JSON file."),
    "no phonemes": (
        lambda folder: joe_of(folder, phoneme_id_map=None),
        "does not describe a voice of Piper: .*phoneme_id_map",
    ),
    "phonemes of another reader": (
        lambda folder: joe_of(folder, phoneme_type="text"),
        "needs phonemes of the type text",
    ),
    "a language that nobody reads": (
        lambda folder: joe_of(folder, espeak={"voice": "xx"}),
        "eSpeak NG has no voice xx",
    ),
    "a graph of another family": (
        hibari_as_joe,
        "has the inputs ids, speed; this family has input",
    ),
    "speakers that the graph lacks": (lambda folder: joe_of(folder, num_speakers=2), "this family has .*, sid"),
}


@pytest.mark.parametrize(("graph", "message"), PIPERS.values(), ids=PIPERS)
def test_what_does_not_fit_family_piper_is_one_sentence(
    graph: Callable[[Path], Path], message: str, tmp_path: Path
) -> None:
    with pytest.raises(EngineUnavailable, match=message) as raised:
        Onnx("Piper", {"model": str(graph(tmp_path))})
    assert "\n" not in raised.value.message


def test_family_piper_says_which_file_it_needs() -> None:
    with pytest.raises(EngineUnavailable, match=r"Family Piper has no voice of its own: set files\.model"):
        Onnx("Piper")
    with pytest.raises(EngineUnavailable, match=r"Family Hibari of engine Onnx has no files\.config"):
        Onnx("Hibari", {"config": "x"})


async def test_a_text_of_more_phonemes_than_the_graph_takes_is_spoken_in_pieces() -> None:
    pool = WorkerPool("onnx", options={"family": "Hibari"}, first_audio_timeout_seconds=HANG_SECONDS)
    await pool.start()
    try:
        one = await synthesized(pool, Utterance("Seven, seven, seven.", "heart"))
        many = await synthesized(pool, Utterance("seven, " * 100, "heart"))
    finally:
        await pool.stop()
    assert many.size > 10 * one.size
