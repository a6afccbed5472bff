"""CosyVoice and IndexTTS over a fake checkout: bad days of a worker, voices, adapters, and what a start complains of.

The fake has upstream's signatures (`test_upstream_interface.py`); it is no evidence that weights speak.
"""

import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog

from tests.support.timeouts import HANG_SECONDS
from tests.support.torch_models import CHECKOUT, adapter, cosyvoice_options, index_tts_options, recording, written
from tests.support.worker_pools import rest_of, synthesized, until
from tts_server.errors import EngineCrashed, EngineError, EngineTimeout, EngineUnavailable, InvalidAudio
from tts_server.inference.client import Utterance
from tts_server.inference.pool.worker_pool import WorkerPool

Options = Callable[[Path], dict[str, Any]]

CASES: dict[str, tuple[str, Options, str]] = {
    "CosyVoice": ("cosyvoice", cosyvoice_options, "英文女"),
    "CosyVoice 2": ("cosyvoice", lambda folder: cosyvoice_options(folder, 2), "clone"),
    "IndexTTS 1.5": ("indextts", lambda folder: index_tts_options(folder, "1.5"), "anna"),
    "IndexTTS 2": ("indextts", index_tts_options, "anna"),
}
each_engine = pytest.mark.parametrize(("engine", "options", "voice"), CASES.values(), ids=CASES)


@asynccontextmanager
async def started(engine: str, options: dict[str, Any], **changes: Any) -> AsyncIterator[WorkerPool]:
    patient: dict[str, Any] = {"first_audio_timeout_seconds": HANG_SECONDS}
    pool = WorkerPool(engine, options=options, **patient | changes)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


# Bad days of a worker.


@each_engine
async def test_a_bad_day_costs_one_utterance(engine: str, options: Options, voice: str, tmp_path: Path) -> None:
    reasons: list[str] = []
    with structlog.testing.capture_logs() as logs:
        async with started(engine, options(tmp_path), on_restart=reasons.append) as pool:
            before = pool.pids
            with pytest.raises(EngineError, match="raised RuntimeError") as failed:
                await synthesized(pool, Utterance("fail", voice))
            assert (await synthesized(pool, Utterance("Yes.", voice))).any()
            assert pool.pids == before, "a failure of the model is no reason to load it anew"
            with pytest.raises(EngineCrashed, match="SIGSEGV"):
                await synthesized(pool, Utterance("crash", voice))
            assert (await synthesized(pool, Utterance("Yes.", voice))).any()
    assert reasons == ["crashed"]
    assert "secret words" not in failed.value.message + str(logs)


@each_engine
async def test_a_hang_is_killed(engine: str, options: Options, voice: str, tmp_path: Path) -> None:
    """The watchdog needs no help of the engine: here native code holds the interpreter's lock for ever."""
    reasons: list[str] = []
    async with started(engine, options(tmp_path), first_audio_timeout_seconds=1.5, on_restart=reasons.append) as pool:
        before = pool.pids
        with pytest.raises(EngineTimeout, match=r"1\.5 s"):
            await synthesized(pool, Utterance("hang", voice))
        assert pool.pids == before, "it is killed only later"
        await until(lambda: reasons == ["stuck"] and pool._slots[0].loaded)
        assert (await synthesized(pool, Utterance("Yes.", voice))).any()


@each_engine
async def test_a_cancellation_ends_the_autoregressive_steps(
    engine: str, options: Options, voice: str, tmp_path: Path
) -> None:
    """`stall` takes a quarter of an hour: the worker is free again only because its steps end."""
    reasons: list[str] = []
    async with started(engine, options(tmp_path), first_audio_timeout_seconds=1.5, on_restart=reasons.append) as pool:
        before = pool.pids
        with pytest.raises(EngineTimeout):
            await rest_of(pool.speak(Utterance("stall", voice, speed=0.5)))  # a stream of CosyVoice would have begun
        assert (await synthesized(pool, Utterance("Yes.", voice))).any()
        assert pool.pids == before
    assert reasons == []


@pytest.mark.parametrize("case", ["CosyVoice", "CosyVoice 2", "IndexTTS 2"])  # IndexTTS 1 yields integers
async def test_samples_that_are_no_numbers_are_an_error(case: str, tmp_path: Path) -> None:
    engine, options, voice = CASES[case]
    async with started(engine, options(tmp_path)) as pool:
        with pytest.raises(InvalidAudio, match="not numbers"):
            await synthesized(pool, Utterance("nan", voice, speed=0.5))
        assert (await synthesized(pool, Utterance("Yes.", voice))).any()


async def test_parts_pass_as_they_come(tmp_path: Path) -> None:
    async with started("cosyvoice", cosyvoice_options(tmp_path)) as pool:
        whole = [part async for part in pool.speak(Utterance("A sentence of many words, indeed.", "英文女", speed=2.0))]
        stream = [part async for part in pool.speak(Utterance("A sentence of many words, indeed.", "英文女"))]
    assert len(whole) == 1, "upstream changes the speed of whole renderings only"
    assert len(stream) > 1, "how many depends on when they are read"


# Voices and adapters.


async def test_each_kind_of_voice_speaks(tmp_path: Path) -> None:
    wav = str(recording(tmp_path / "told.wav"))
    prompts = {
        "clone": {"wav": wav, "text": "Hello."},
        "voice only": {"wav": wav},
        "told": {"wav": wav, "instruction": "用四川话说这句话"},
    }
    async with started("cosyvoice", cosyvoice_options(tmp_path, 3, prompts=prompts)) as pool:
        assert sorted(pool.voices) == sorted(prompts)
        for voice in prompts:
            assert (await synthesized(pool, Utterance("Yes.", voice))).any()
        with pytest.raises(EngineError, match="no voice 中文女"):
            await synthesized(pool, Utterance("Yes.", "中文女"))


async def test_an_adapter_belongs_to_its_voice(tmp_path: Path) -> None:
    louder = adapter(tmp_path / "louder", np.ones((1, 2)), np.full((2, 1), 0.25))
    for engine, options, voices in (
        ("cosyvoice", cosyvoice_options, ("中文女", "英文女")),
        ("indextts", index_tts_options, ("anna", "bert")),
    ):
        settings = options(tmp_path, adapters={"louder": str(louder)}, voice_adapters={voices[1]: "louder"})
        async with started(engine, settings) as pool:
            plain, changed, again = [
                int(np.abs(await synthesized(pool, Utterance("Yes.", voice))).max())
                for voice in (voices[0], voices[1], voices[0])
            ]
        assert changed == pytest.approx(1.5 * plain, rel=0.01)
        assert again == plain, "the weights are those from before"


async def test_two_point_five_takes_the_language_and_the_speed(tmp_path: Path) -> None:
    async with started("indextts", index_tts_options(tmp_path, "2.5")) as pool:
        once, twice = [
            (await synthesized(pool, Utterance("A word.", "anna", language="ja", speed=speed))).size
            for speed in (1.0, 2.0)
        ]
    assert twice == pytest.approx(once / 2, rel=0.01)


# One sentence at the start.


def without(name: str) -> Callable[[dict[str, Any]], None]:
    def change(options: dict[str, Any]) -> None:
        (Path(options["model_directory"]) / name).unlink()

    return change


def with_(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda options: options.update(changes)


def no_submodule(options: dict[str, Any]) -> None:
    copy = Path(options["model_directory"]).parent / "checkout"
    shutil.copytree(CHECKOUT, copy)
    shutil.rmtree(copy / "third_party/Matcha-TTS/matcha")
    options["code_directory"] = str(copy)


def no_torch(options: dict[str, Any]) -> None:
    copy = Path(options["model_directory"]).parent / "checkout"
    shutil.copytree(CHECKOUT, copy)
    shutil.rmtree(copy / "torch")
    options["code_directory"] = str(copy)


def bad_recording(options: dict[str, Any]) -> None:
    written(Path(options["prompts"]["clone"]["wav"]), "no sound")


def bad_adapter(options: dict[str, Any]) -> None:
    folder = adapter(Path(options["model_directory"]).parent / "a", np.ones((1, 3)), np.ones((2, 1)))
    options["adapters"] = {"a": str(folder)}


COMPLAINTS: dict[str, tuple[str, Options, Callable[[dict[str, Any]], None], str]] = {
    # the story: (the engine, its options, what is changed, the complaint)
    "no weights at all": ("cosyvoice", cosyvoice_options, without("cosyvoice.yaml"), "no file cosyvoice.yaml, "),
    "a file of the weights": ("cosyvoice", cosyvoice_options, without("flow.pt"), r"flow\.pt is missing or empty"),
    "no checkout": ("cosyvoice", cosyvoice_options, with_(code_directory="/usr"), "checkout of github"),
    "no submodule": ("cosyvoice", cosyvoice_options, no_submodule, "Matcha-TTS is missing or empty: clone"),
    "no PyTorch": ("cosyvoice", cosyvoice_options, no_torch, "PyTorch is not installed for .*torch-engines.md"),
    "fp16 without a GPU": ("cosyvoice", cosyvoice_options, with_(fp16=True), "fp16 of engine CosyVoice needs a CUDA"),
    "TensorRT without a GPU": ("cosyvoice", cosyvoice_options, with_(load_trt=True), "loadTrt of engine CosyVoice"),
    "a recording that is none": ("cosyvoice", cosyvoice_options, bad_recording, "of prompt clone cannot be used"),
    "no voice": ("cosyvoice", lambda folder: cosyvoice_options(folder, 2, prompts={}), lambda _: None, "no speakers"),
    "an adapter of another model": ("cosyvoice", cosyvoice_options, bad_adapter, r"of shape \(2, 3\), the model's has"),
    "a file of IndexTTS": ("indextts", index_tts_options, without("bpe.model"), r"bpe\.model is missing or empty"),
    "an auxiliary file": (
        "indextts", index_tts_options, without("hf_cache/bigvgan/config.json"), r"bigvgan/config\.json is missing"
    ),
    "fp16 of IndexTTS": ("indextts", index_tts_options, with_(fp16=True), "fp16 of engine IndexTTS needs a CUDA"),
    "no prompts": ("indextts", index_tts_options, with_(prompts={}), "no speakers of its own"),
    "emotions of IndexTTS 1": (
        "indextts",
        lambda folder: index_tts_options(folder, "1.5"),
        lambda options: options["prompts"]["anna"].update(emotion_strengths=[0.1] * 8),
        "need IndexTTS 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("engine", "options", "change", "complaint"), COMPLAINTS.values(), ids=COMPLAINTS)
async def test_the_start_says_in_a_sentence_what_is_missing(
    engine: str, options: Options, change: Callable[[dict[str, Any]], None], complaint: str, tmp_path: Path
) -> None:
    settings = options(tmp_path)
    change(settings)
    pool = WorkerPool(engine, options=settings)
    with pytest.raises(EngineUnavailable, match=complaint) as raised:
        await pool.start()
    assert "\n" not in raised.value.message
    assert pool.pids == []


async def test_an_interpreter_of_its_own_runs_the_engine(tmp_path: Path) -> None:
    """Another interpreter than the server's: one that leaves a trace of its start."""
    trace = tmp_path / "trace"
    python = written(tmp_path / "python", f'#!/bin/sh\necho started >> {trace}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    async with started("cosyvoice", cosyvoice_options(tmp_path), python=str(python)) as pool:
        assert (await synthesized(pool, Utterance("Yes.", "中文女"))).any()
    assert trace.read_text() == "started\n"
