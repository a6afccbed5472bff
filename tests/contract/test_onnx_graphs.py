"""Graphs that are not what the configuration says: one sentence at the start, and no process is left."""

from collections.abc import Callable
from pathlib import Path

import hibari
import pytest

from tests.support.worker_pools import synthesized
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
    with pytest.raises(EngineUnavailable, match="Engine Onnx has no family Nobodys; it has Hibari"):
        await WorkerPool("onnx", options={"family": "Nobodys"}).start()


async def test_a_text_of_more_phonemes_than_the_graph_takes_is_spoken_in_pieces() -> None:
    pool = WorkerPool("onnx", options={"family": "Hibari"})
    await pool.start()
    try:
        one = await synthesized(pool, Utterance("Seven, seven, seven.", "heart"))
        many = await synthesized(pool, Utterance("seven, " * 100, "heart"))
    finally:
        await pool.stop()
    assert many.size > 10 * one.size
