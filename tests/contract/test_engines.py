"""One suite for every engine client, then what only a worker pool can do: outlive its engine."""

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import pytest_asyncio
import structlog

from tests.support.server_process import running
from tests.support.speech_servers import client_of, scripted_server
from tests.support.timeouts import HANG_SECONDS
from tests.support.torch_models import cosyvoice_options, index_tts_options
from tests.support.worker_pools import FAILING_ENGINE, beep, failing_pool, patient_pool, rest_of, synthesized, until
from tts_server.errors import (
    EngineCrashed,
    EngineError,
    EngineNotReady,
    EngineTimeout,
    EngineUnavailable,
    InvalidAudio,
    Overloaded,
)
from tts_server.inference.client import EngineClient, Utterance
from tts_server.inference.pool.worker_pool import WorkerPool
from tts_server.inference.remote import RemoteEngineClient
from tts_server.inference.wire.shared_buffer import SHARED_BYTES
from tts_server.samples import FULL_SCALE, as_floats
from tts_server.scheduling.fair_queue import SchedulingParams

one_loop = pytest.mark.asyncio(loop_scope="module")

SENTENCE = "The quick brown fox jumps over the lazy dog."


@dataclass
class Harness:
    """A started engine client, one of its voices, and how equal two renderings are."""

    engine_client: EngineClient
    voice: str
    samples_per_second_agree: float = 0.0
    """How much the lengths of two renderings may differ, as a part of the whole; 0: every sample is the same."""
    texts: tuple[str, ...] = (SENTENCE, "Yes.")

    def utterance(self, text: str, **changes: object) -> Utterance:
        return Utterance(text, self.voice, **changes)  # type: ignore[arg-type]  # fields by name


@asynccontextmanager
async def espeak(_: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    """eSpeak NG never resets the phase of its flutter."""
    async with started(patient_pool("espeak", processes=2)) as engine_client:
        yield Harness(engine_client, "en-us", samples_per_second_agree=0.01)


@asynccontextmanager
async def onnx(_: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    async with started(patient_pool("onnx", processes=2, options={"family": "Hibari"})) as engine_client:
        yield Harness(engine_client, "heart")


@asynccontextmanager
async def cosyvoice(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    folder = request.getfixturevalue("tmp_path_factory").mktemp("model")
    async with started(patient_pool("cosyvoice", options=cosyvoice_options(folder))) as engine_client:
        yield Harness(engine_client, "英文女")


@asynccontextmanager
async def indextts(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    folder = request.getfixturevalue("tmp_path_factory").mktemp("model")
    async with started(patient_pool("indextts", options=index_tts_options(folder))) as engine_client:
        yield Harness(engine_client, "anna")


@asynccontextmanager
async def tone(_: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    async with started(patient_pool("tests.support.tone_engines:ToneEngine", processes=2)) as engine_client:
        yield Harness(engine_client, "beep")


@asynccontextmanager
async def remote(_: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    async with (
        member_pool(beeps) as member,
        started(patient_remote(member.url)) as engine_client,
    ):
        yield Harness(engine_client, "beep")


@asynccontextmanager
async def scripted(_: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    async with (
        scripted_server() as server,
        client_of(server.url, first_audio_timeout_seconds=HANG_SECONDS) as engine_client,
    ):
        yield Harness(engine_client, "ann")


@asynccontextmanager
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    url = request.getfixturevalue("second_server")
    async with client_of(
        url, model="heart", voices={"ann": "heart"}, first_audio_timeout_seconds=HANG_SECONDS
    ) as engine_client:
        yield Harness(engine_client, "ann")


@asynccontextmanager
async def kokoro(_: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    """It computes a second for three seconds of audio, on a core of its own: few tests have it."""
    async with started(patient_pool("onnx", options={"family": "Kokoro"})) as engine_client:
        yield Harness(engine_client, "af_heart")


HARNESSES: dict[str, Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[Harness]]] = {
    "espeak": espeak,
    "onnx": onnx,
    "cosyvoice": cosyvoice,
    "indextts": indextts,
    "beep": tone,
    "remote": remote,
    "scripted": scripted,
    "server": server,
    "kokoro": kokoro,
}
AFFORDABLE = [name for name in HARNESSES if name != "kokoro"]
T = TypeVar("T", bound=Callable[..., object])


def on(*names: str, fresh: bool = False) -> Callable[[T], T]:
    """Run a test on these harnesses. It shares a started client with the tests around it, or gets a fresh one."""

    def decorate(test: T) -> T:
        if fresh:
            decorated: T = pytest.mark.parametrize("fresh_harness", names, indirect=True)(test)
        else:
            decorated = one_loop(pytest.mark.parametrize("harness", names, indirect=True, scope="module")(test))
        return decorated

    return decorate


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    """A client that the tests of this module share: loading an engine takes longer than most of them."""
    async with HARNESSES[request.param](request) as shared:
        yield shared


@pytest.fixture
async def fresh_harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    """A client that a test may stop."""
    async with HARNESSES[request.param](request) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def espeak_client(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    async with espeak(request) as shared:
        yield shared


@pytest.fixture(scope="module")
def second_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A whole tts-server with the built-in voice, in a process of its own."""
    folder = tmp_path_factory.mktemp("second-server")
    (folder / "server.json").write_text(
        json.dumps(
            {
                "models": [
                    {
                        "name": "heart",
                        "engine": {"type": "Onnx", "onnx": {"family": "Hibari"}, "processes": 2},
                        "voices": [{"name": "heart", "languages": ["en"]}],
                        "firstAudioTimeoutSeconds": HANG_SECONDS,
                    }
                ],
                "storage": {"directory": str(folder / "audio")},
                "maxWaitSeconds": HANG_SECONDS,
            }
        )
    )
    with running(folder, f"--config={folder / 'server.json'}") as server:
        yield server.url


def patient_remote(url: str) -> RemoteEngineClient:
    return RemoteEngineClient(url, "beep", token=lambda: "secret", first_audio_timeout_seconds=HANG_SECONDS)


@asynccontextmanager
async def started(engine_client: WorkerPool | RemoteEngineClient) -> AsyncIterator[WorkerPool | RemoteEngineClient]:
    await engine_client.start()
    try:
        yield engine_client
    finally:
        await engine_client.stop()


# The suite for every engine client.


@on(*HARNESSES)
async def test_it_speaks(harness: Harness) -> None:
    heard = await synthesized(harness.engine_client, harness.utterance(SENTENCE))
    assert 1.0 < heard.size / harness.engine_client.sample_rate_hz < 5.0
    assert np.sqrt(np.mean(as_floats(heard) ** 2)) > 0.02


@on(*HARNESSES)
async def test_what_it_yields_is_mono_16_bit_sound(harness: Harness) -> None:
    parts = [part async for part in harness.engine_client.speak(harness.utterance(SENTENCE))]
    assert parts
    for part in parts:
        assert part.dtype == np.int16
        assert part.ndim == 1
        assert part.size > 0


@on(*HARNESSES)
async def test_the_same_words_sound_the_same(harness: Harness) -> None:
    first, second = [await synthesized(harness.engine_client, harness.utterance(SENTENCE)) for _ in range(2)]
    if harness.samples_per_second_agree == 0.0:
        assert np.array_equal(first, second)
    else:
        assert second.size == pytest.approx(first.size, rel=harness.samples_per_second_agree)


@pytest.mark.parametrize("speed", [0.25, 0.5, 2.0, 4.0])
@on(*AFFORDABLE)
async def test_speed_divides_the_duration(harness: Harness, speed: float) -> None:
    natural = await synthesized(harness.engine_client, harness.utterance(SENTENCE))
    changed = await synthesized(harness.engine_client, harness.utterance(SENTENCE, speed=speed))
    assert changed.size == pytest.approx(natural.size / speed, rel=0.1)


@on(*AFFORDABLE)
async def test_several_speak_at_once_and_nobody_hears_another(harness: Harness) -> None:
    alone = {text: (await synthesized(harness.engine_client, harness.utterance(text))).size for text in harness.texts}
    texts = list(harness.texts) * 5
    together = await asyncio.gather(*(synthesized(harness.engine_client, harness.utterance(text)) for text in texts))
    for text, heard in zip(texts, together, strict=True):
        assert heard.size == pytest.approx(alone[text], rel=max(0.01, harness.samples_per_second_agree))


@on(*AFFORDABLE)
async def test_who_hangs_up_does_not_disturb_the_next(harness: Harness) -> None:
    expected = (await synthesized(harness.engine_client, harness.utterance("Yes."))).size
    for _ in range(5):
        async with aclosing(harness.engine_client.speak(harness.utterance(SENTENCE * 5))) as parts:
            await anext(parts)
        assert (await synthesized(harness.engine_client, harness.utterance("Yes."))).size == pytest.approx(
            expected, rel=0.01
        )


@on(*AFFORDABLE)
async def test_a_cancelled_caller_does_not_disturb_the_next(harness: Harness) -> None:
    expected = (await synthesized(harness.engine_client, harness.utterance("Yes."))).size
    for delay in (0.0, 0.001, 0.01):
        task = asyncio.create_task(synthesized(harness.engine_client, harness.utterance(SENTENCE * 5)))
        await asyncio.wait([task], timeout=delay)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert (await synthesized(harness.engine_client, harness.utterance("Yes."))).size == pytest.approx(
        expected, rel=0.01
    )


NASTY = [
    "<speak>hi</speak>",
    "-v fr hello",
    "a\x00b",
    "\x01 50s slow",
    "[[h@l'oU]]",
    "🙂",
    "\ud800",
    "…",
    "'; rm -rf /",
    "\u202e",
]


@pytest.mark.parametrize("text", NASTY)
@on(*AFFORDABLE)
async def test_text_is_data_whatever_it_looks_like(harness: Harness, text: str) -> None:
    before = (await synthesized(harness.engine_client, harness.utterance("Yes."))).size
    assert (await synthesized(harness.engine_client, harness.utterance(text))).size > 0
    assert (await synthesized(harness.engine_client, harness.utterance("Yes."))).size == pytest.approx(before, rel=0.01)


@on(*HARNESSES, fresh=True)
async def test_it_is_ready_from_start_to_stop(fresh_harness: Harness) -> None:
    assert readiness(fresh_harness.engine_client) == "ready"
    await fresh_harness.engine_client.stop()
    assert readiness(fresh_harness.engine_client) == "not ready"
    with pytest.raises(EngineCrashed):
        await synthesized(fresh_harness.engine_client, fresh_harness.utterance("Yes."))
    await fresh_harness.engine_client.stop()


@on(*AFFORDABLE, fresh=True)
async def test_stopping_ends_an_utterance_under_way(fresh_harness: Harness) -> None:
    parts = fresh_harness.engine_client.speak(fresh_harness.utterance(SENTENCE * 60))  # more than pipes hold
    await anext(parts)
    await fresh_harness.engine_client.stop()
    with pytest.raises(EngineCrashed):
        await rest_of(parts)


# eSpeak NG.


@one_loop
async def test_espeak_has_a_voice_for_each_of_a_hundred_languages(espeak_client: Harness) -> None:
    voices = espeak_client.engine_client.voices
    assert {"en-us", "en-gb", "fr-fr", "cmn", "de", "es", "ja", "ko", "ar", "hi", "yue"} <= set(voices)
    assert "zh" in voices["cmn"]
    assert len(voices) > 100


@one_loop
@pytest.mark.parametrize(
    ("voice", "text"),
    [("cmn", "你好，世界"), ("fr-fr", "Bonjour"), ("ru", "Привет"), ("ar", "مرحبا"), ("ja", "こんにちは")],
)
async def test_espeak_speaks_other_languages(espeak_client: Harness, voice: str, text: str) -> None:
    assert (await synthesized(espeak_client.engine_client, Utterance(text, voice))).size > 5000


LONG_NAMES = "ሰላም ለዓለም ሁሉ፣ ዛሬ እንዴት ናችሁ፣ " * 8
HARD = {
    # each of these ended the engine, or had it taken for broken
    "foreign letters":         (LONG_NAMES, "en-us"),
    "signs with long names":   ("🈂 " * 50, "en-us"),
    "a bar of braille":        ("⣿", "ar"),
    "backticks":               ("```", "vi"),
}  # fmt: skip


@one_loop
@pytest.mark.parametrize(("text", "voice"), HARD.values(), ids=HARD)
async def test_espeak_speaks_on_whatever_it_is_given(espeak_client: Harness, text: str, voice: str) -> None:
    pool = espeak_client.engine_client
    assert isinstance(pool, WorkerPool)
    before = pool.pids
    assert (await synthesized(pool, Utterance(text, voice))).size > 0
    assert pool.pids == before


@one_loop
async def test_espeak_refuses_a_voice_it_does_not_have(espeak_client: Harness) -> None:
    with pytest.raises(EngineError, match=r"no voice \.\./\.\./etc"):
        await synthesized(espeak_client.engine_client, Utterance("Hello", "../../etc"))
    assert (await synthesized(espeak_client.engine_client, Utterance("Hello", "en-us"))).size > 0


async def test_espeak_changes_its_voice_from_one_utterance_to_the_next() -> None:
    async with started(patient_pool("espeak")) as engine_client:  # one process, so that the same one has to change
        alone = {
            voice: (await synthesized(engine_client, Utterance("Un deux trois.", voice))).size
            for voice in ("en-us", "fr-fr")
        }
        assert alone["en-us"] != pytest.approx(alone["fr-fr"], rel=0.05)
        with pytest.raises(EngineError):
            await synthesized(engine_client, Utterance("Un deux trois.", "none"))
        for voice in ("fr-fr", "en-us", "en-us", "fr-fr"):
            found = (await synthesized(engine_client, Utterance("Un deux trois.", voice))).size
            assert found == pytest.approx(alone[voice], rel=0.01)


# A pool of processes, whose engine has bad days.


@pytest.mark.parametrize("text", ["crash", "exit"])
async def test_a_crash_is_heard_as_one_and_the_next_is_spoken(text: str) -> None:
    reasons: list[str] = []
    async with failing_pool(on_restart=reasons.append) as pool:
        for _ in range(3):
            with pytest.raises(EngineCrashed, match=r"SIGSEGV|exit code 3"):
                await synthesized(pool, beep(text))
            assert (await synthesized(pool, beep("ok"))).size > 0
    assert reasons == ["crashed"] * 3


async def test_a_process_killed_in_the_middle_of_a_sentence_is_replaced() -> None:
    async with failing_pool() as pool:
        parts = pool.speak(beep("endless"))
        await anext(parts)
        os.kill(pool.pids[0], 9)
        with pytest.raises(EngineCrashed, match="SIGKILL"):
            await rest_of(parts)
        assert (await synthesized(pool, beep("ok"))).size > 0


async def test_a_process_killed_while_idle_costs_nobody_anything() -> None:
    async with failing_pool() as pool:
        killed = pool.pids[0]
        os.kill(killed, 9)
        await until(lambda: not in_process_table(killed))
        assert (await synthesized(pool, beep("ok"))).size > 0


async def test_an_engine_that_raises_lives_on_and_its_message_stays_inside() -> None:
    with structlog.testing.capture_logs() as logs:
        async with failing_pool() as pool:
            before = pool.pids
            with pytest.raises(EngineError, match="raised ValueError") as caught:
                await synthesized(pool, beep("raise"))
            assert (await synthesized(pool, beep("ok"))).size > 0
            assert pool.pids == before
    assert not isinstance(caught.value, EngineCrashed)
    assert "secret words" not in caught.value.message + json.dumps(logs)
    assert "_raise" in json.dumps(logs)  # where it happened is there


@pytest.mark.parametrize("text", ["hang", "stall", "seize"])
async def test_an_engine_that_hangs_is_timed_out_killed_and_replaced(text: str) -> None:
    reasons: list[str] = []
    async with failing_pool(first_audio_timeout_seconds=1.5, on_restart=reasons.append) as pool:
        before = pool.pids
        with pytest.raises(EngineTimeout, match=r"1\.5 s"):
            await synthesized(pool, beep(text))
        assert pool.pids == before, "it is killed only later"
        await until(lambda: reasons == ["stuck"] and pool._slots[0].loaded)
        assert (await synthesized(pool, beep("ok"))).size > 0
        assert pool.pids != before
    assert reasons == ["stuck"]


async def test_a_slow_engine_that_keeps_speaking_is_not_timed_out() -> None:
    async with failing_pool(first_audio_timeout_seconds=0.9) as pool:
        assert (await synthesized(pool, beep("slow"))).size > 20 * 1600, "it takes a second and more"


async def test_a_slow_listener_does_not_time_its_engine_out() -> None:
    async with failing_pool(first_audio_timeout_seconds=1) as pool:
        flood = Utterance("flood", "beep", speed=0.25)  # slow speech may be long: nobody takes it for garbage
        async with aclosing(pool.speak(flood)) as parts:
            for _ in range(3):
                await anext(parts)
                await asyncio.sleep(1.2)
        assert (await synthesized(pool, beep("ok"))).size > 0


async def test_hanging_up_does_not_wait_for_the_engine() -> None:
    async with failing_pool() as pool:
        parts = pool.speak(beep("stall"))
        await anext(parts)
        before = pool.pids
        await parts.aclose()
        assert pool.pids == before, "it is killed only later"
        assert (await synthesized(pool, beep("ok"))).size > 0


@pytest.mark.parametrize("text", ["nan", "stereo", "garbage"])
async def test_what_is_not_sound_is_an_engine_error(text: str) -> None:
    async with failing_pool() as pool:
        with pytest.raises(EngineError):
            await synthesized(pool, beep(text))
        assert (await synthesized(pool, beep("ok"))).size > 0


@pytest.mark.parametrize(("text", "reason"), [("nan", "not numbers"), ("babble", "far more"), ("mute", "only silence")])
async def test_who_yields_garbage_is_replaced(text: str, reason: str) -> None:
    reasons: list[str] = []
    async with failing_pool(on_restart=reasons.append) as pool:
        before = pool.pids
        with pytest.raises(InvalidAudio, match=reason):
            await synthesized(pool, beep(text))
        assert (await synthesized(pool, beep("ok"))).any()
        assert pool.pids != before
    assert reasons == ["invalid_output"]


async def test_a_text_that_the_engine_cannot_read_is_silence_and_no_fault_of_the_engine() -> None:
    async with failing_pool() as pool:
        before = pool.pids
        heard = await synthesized(pool, beep("unread"))
        assert heard.size == 1600
        assert not heard.any()
        assert (await synthesized(pool, beep("ok"))).any()
        assert pool.pids == before


async def test_a_pause_at_the_beginning_is_kept() -> None:
    async with failing_pool() as pool:
        heard = await synthesized(pool, beep("pause"))
        assert not heard[:1600].any()
        assert heard[1600:].any()


async def test_careless_samples_are_brought_into_shape() -> None:
    async with failing_pool() as pool:
        assert np.max(await synthesized(pool, beep("loud"))) == FULL_SCALE
        assert (await synthesized(pool, beep("double"))).dtype == np.int16
        assert all(part.size > 0 for part in [part async for part in pool.speak(beep("empty"))])


async def test_sound_beyond_the_shared_memory_comes_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    long = Utterance("A rather long text. " * 20, "beep", speed=0.25)
    async with failing_pool() as pool:
        shared = await synthesized(pool, long)
    monkeypatch.delattr(os, "memfd_create")
    async with failing_pool() as pool:
        piped = await synthesized(pool, long)
    assert 2 * shared.size > SHARED_BYTES // 2
    assert np.array_equal(shared, piped)


async def test_what_was_taken_out_of_the_shared_memory_stays_as_it_was() -> None:
    async with failing_pool() as pool:
        first = [part async for part in pool.speak(beep("first"))]
        before = np.concatenate(first).tolist()
        await synthesized(pool, beep("another"))
        assert np.concatenate(first).tolist() == before


async def test_a_place_outside_of_the_shared_memory_is_a_crash() -> None:
    async with failing_pool() as pool:
        with pytest.raises(EngineCrashed, match="outside"):
            await synthesized(pool, beep("astray"))
        assert (await synthesized(pool, beep("next"))).size > 0


async def test_what_an_engine_prints_does_not_become_sound() -> None:
    async with failing_pool() as pool:
        expected = (await synthesized(pool, beep("prinT"))).size + 1600
        assert (await synthesized(pool, beep("print"))).size == expected


async def test_what_an_engine_prints_is_logged_without_its_words() -> None:
    async with failing_pool() as pool:
        with structlog.testing.capture_logs() as lines:
            with pytest.raises(EngineError):
                await synthesized(pool, beep("chatter"))
            await until(lambda: any("in _chatter" in str(line.get("line")) for line in lines))
            await until(lambda: any(line.get("line") == "(24 characters)" for line in lines))
    printed = [str(line["line"]) for line in lines if line["event"] == "engine wrote to stderr"]
    assert "Traceback (most recent call last):" in printed
    assert "(12 characters)" in printed
    assert not any("ecret" in line for line in printed)


async def test_one_that_outgrows_its_memory_is_replaced_between_utterances() -> None:
    reasons: list[str] = []
    async with failing_pool(memory_limit_bytes=200_000_000, on_restart=reasons.append) as pool:
        before = pool.pids
        for _ in range(3):
            assert (await synthesized(pool, beep("grow"))).size > 0
        assert (await synthesized(pool, beep("ok"))).size > 0
        assert pool.pids != before
    assert reasons == ["memory"] * 3


async def test_an_utterance_that_grows_without_end_is_killed() -> None:
    async with failing_pool(memory_limit_bytes=100_000_000) as pool:
        with pytest.raises(EngineCrashed, match="SIGKILL"):  # maybe before its first part: the machine may be busy
            await rest_of(pool.speak(beep("hoard")))


async def test_more_than_processes_wait_their_turn() -> None:
    async with failing_pool(processes=2) as pool:
        tasks = [asyncio.create_task(synthesized(pool, beep("slow"))) for _ in range(5)]
        await until(lambda: pool.waiting == 3)
        sizes = {heard.size for heard in await asyncio.gather(*tasks)}
        assert len(sizes) == 1


async def test_one_who_gives_up_waiting_loses_no_process() -> None:
    async with failing_pool() as pool:
        first = asyncio.create_task(synthesized(pool, beep("slow")))
        await until(lambda: not pool.waiting and bool(pool.pids))
        waiting = asyncio.create_task(synthesized(pool, beep("ok")))
        await until(lambda: pool.waiting == 1)
        waiting.cancel()
        assert (await first).size > 0
        assert (await synthesized(pool, beep("ok"))).size > 0


async def test_an_engine_that_cannot_load_says_why_and_leaves_no_process() -> None:
    for engine, expected in {
        "tests.support.tone_engines:UnloadableEngine": "raised FileNotFoundError",
        "tests.support.tone_engines:Missing": "cannot be imported",
        "no-such-engine": "Installed engines: .*espeak",
    }.items():
        pool = WorkerPool(engine, processes=2)
        with pytest.raises(EngineError, match=expected):
            await pool.start()
        assert pool.pids == []
        assert not pool.ready
        await pool.stop()


async def test_without_its_library_espeak_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "espeakng_loader.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(EngineUnavailable, match=r"ttsfleet\[espeak\]"):
        await WorkerPool("espeak").start()


async def test_an_engine_that_loads_for_ever_is_given_up() -> None:
    pool = WorkerPool("tests.support.tone_engines:HangingEngine", load_timeout_seconds=0.5)
    with pytest.raises(EngineTimeout, match="did not load"):
        await pool.start()
    assert pool.pids == []


async def test_a_crash_loop_fails_at_once_and_ends_when_its_cause_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "weights"
    weights.touch()
    monkeypatch.setenv("CRASH_LOOP_FILE", str(weights))
    async with started(patient_pool("tests.support.tone_engines:CrashLoopEngine")) as pool:
        weights.unlink()
        with pytest.raises(EngineCrashed):
            await synthesized(pool, beep("die"))
        assert readiness(pool) == "ready"  # one failure is an accident
        with pytest.raises(EngineNotReady, match="is in a crash loop"):
            await synthesized(pool, beep("ok"))
        assert readiness(pool) == "not ready"
        begun = time.monotonic()
        with pytest.raises(EngineNotReady, match="is in a crash loop"):
            await synthesized(pool, beep("ok"))
        assert time.monotonic() - begun < HANG_SECONDS / 2, "it does not wait for a process that may load"
        weights.touch()
        await until(lambda: pool.ready)
        assert (await synthesized(pool, beep("ok"))).size > 0


async def test_stopping_leaves_no_process_and_no_zombie() -> None:
    pool = WorkerPool(FAILING_ENGINE, processes=3)
    await pool.start()
    pids = pool.pids
    assert len(pids) == 3
    busy = asyncio.create_task(synthesized(pool, beep("seize")))
    await until(lambda: len(pool.pids) == 3)
    begun = time.monotonic()
    await pool.stop()
    assert time.monotonic() - begun < HANG_SECONDS
    with pytest.raises(EngineCrashed):
        await busy
    assert [pid for pid in pids if in_process_table(pid)] == []
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_children_of_an_engine_end_with_it() -> None:
    async with failing_pool() as pool:
        await synthesized(pool, beep("spawn"))
        group = pool.pids[0]
        assert len(processes_of_group(group)) == 2
    await until(lambda: processes_of_group(group) == [])


async def test_an_engine_ends_with_its_parent_even_while_it_hangs() -> None:
    script = (
        "import asyncio, sys\n"
        "from tts_server.inference.pool.worker_pool import WorkerPool\n"
        "from tts_server.inference.client import Utterance\n"
        "async def main():\n"
        f"    pool = WorkerPool({FAILING_ENGINE!r}, processes=2)\n"
        "    await pool.start()\n"
        "    await anext(pool.speak(Utterance('seize', 'beep')))\n"
        "    print(*pool.pids, flush=True)\n"
        "    await asyncio.sleep(3600)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    pids = [int(pid) for pid in (await parent.stdout.readline()).split()]
    assert len(pids) == 2
    parent.kill()
    await parent.wait()
    for pid in pids:
        await gone(pid)


async def test_a_worker_is_up_in_no_more_than_it_takes_to_import_numpy_a_few_times() -> None:
    begun = computed_seconds()
    numpy_alone = await asyncio.create_subprocess_exec(sys.executable, "-c", "import numpy")
    await numpy_alone.wait()
    between = computed_seconds()
    async with started(patient_pool("espeak")):
        pass
    assert computed_seconds() - between < 5 * (between - begun)


def computed_seconds() -> float:
    """By the processor, for children of this process that have ended, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# Another pool over HTTP.


@dataclass
class Member:
    """A pool of the same tenant, as far as another pool sees it."""

    url: str
    requests: list[dict[str, object]] = field(default_factory=list)
    authorization: list[str] = field(default_factory=list)


Answer = Callable[[dict[str, object], asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def member_pool(answer: Answer) -> AsyncIterator[Member]:
    member = Member("")
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
                assert head.startswith("POST /v1/audio/speech HTTP/1.1")
                headers = dict(line.split(": ", 1) for line in head.lower().split("\r\n")[1:] if line)
                member.authorization.append(headers.get("authorization", ""))
                request = json.loads(await reader.readexactly(int(headers["content-length"])))
                member.requests.append(request)
                await answer(request, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    member.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield member
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await server.wait_closed()


async def beeps(request: dict[str, object], writer: asyncio.StreamWriter) -> None:
    """Chunks of an odd number of bytes, so that samples are cut in two on their way."""
    seconds_each = 0.05 / float(str(request["speed"]))
    sound = b"".join(
        (8000 * np.sin(np.arange(int(seconds_each * 24_000)) * (ord(letter) % 50) / 100)).astype("<i2").tobytes()
        for letter in str(request["input"])
    )
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for start in range(0, len(sound), 4001):
        piece = sound[start : start + 4001]
        writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()


def answers(head: str, *, body: bytes = b"", then_close: bool = False) -> Answer:
    async def answer(request: dict[str, object], writer: asyncio.StreamWriter) -> None:
        writer.write(head.encode() + b"\r\n\r\n" + body)
        await writer.drain()
        if then_close:
            writer.close()

    return answer


async def test_a_request_to_another_pool_carries_everything_and_the_credential() -> None:
    async with (
        member_pool(beeps) as member,
        started(RemoteEngineClient(member.url, "m", token=lambda: "secret")) as engine_client,
    ):
        await synthesized(engine_client, Utterance("Hi", "v", language="de", speed=1.5, precision="int8"))
    assert member.authorization == ["bearer secret"]
    assert member.requests == [
        {"model": "m", "input": "Hi", "voice": "v", "language": "de", "precision": "int8", "speed": 1.5,
         "response_format": "pcm", "due_in_seconds": None}
    ]  # fmt: skip


async def test_another_pool_hears_when_its_sound_is_due() -> None:
    async with member_pool(beeps) as member, started(RemoteEngineClient(member.url, "m")) as engine_client:
        async for _ in engine_client.speak(beep("Hi"), SchedulingParams(due=time.monotonic() + 100)):
            pass
    (request,) = member.requests
    assert 0 < float(str(request["due_in_seconds"])) <= 100


REFUSALS: dict[str, tuple[str, type[Exception]]] = {
    "overloaded": ("HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0", Overloaded),
    "out of quota": ("HTTP/1.1 429 Slow\r\nContent-Length: 0", Overloaded),
    "its engine timed out": ("HTTP/1.1 504 Late\r\nContent-Length: 0", EngineTimeout),
    "the credential is refused": ("HTTP/1.1 401 No\r\nContent-Length: 0", EngineError),
    "its engine crashed": ("HTTP/1.1 502 Bad\r\nContent-Length: 0", EngineError),
    "it does not speak HTTP": ("nonsense", EngineCrashed),
}


@pytest.mark.parametrize(("head", "error"), REFUSALS.values(), ids=REFUSALS)
async def test_refusals_of_another_pool(head: str, error: type[Exception]) -> None:
    async with member_pool(answers(head)) as member, started(RemoteEngineClient(member.url, "m")) as engine_client:
        with pytest.raises(error) as caught:
            await synthesized(engine_client, Utterance("Hi", "v"))
        assert not isinstance(caught.value, Overloaded) or caught.value.retry_after_seconds in {1.0, 7.0}


NOT_LOADED = b'{"error": {"message": "It says: secret words", "code": "engine_not_ready"}}'


@pytest.mark.parametrize(
    ("body", "error"),
    {
        NOT_LOADED: EngineNotReady,
        NOT_LOADED.replace(b"engine_not_ready", b"draining"): Overloaded,
        b"<html>no endpoint</html>": Overloaded,
        b"[" * 70_000: Overloaded,
        b'{"error": "engine_not_ready"}': Overloaded,
    }.items(),
)
async def test_another_pools_engine_that_is_not_loaded_is_an_engines_failure(
    body: bytes, error: type[EngineNotReady | Overloaded]
) -> None:
    """A fallback may speak for a failure of an engine, and for nothing else."""
    head = f"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: {len(body)}"
    async with (
        member_pool(answers(head, body=body)) as member,
        started(RemoteEngineClient(member.url, "m")) as engine_client,
    ):
        with pytest.raises(error) as caught:
            await synthesized(engine_client, Utterance("Hi", "v"))
        assert vars(caught.value)["retry_after_seconds"] == 7.0
        assert "secret" not in caught.value.message


async def test_a_pool_that_breaks_off_is_a_crash() -> None:
    cut = answers("HTTP/1.1 200 OK\r\nContent-Length: 9000", body=b"\x00" * 4000, then_close=True)
    async with member_pool(cut) as member, started(RemoteEngineClient(member.url, "m")) as engine_client:
        with pytest.raises(EngineCrashed, match="closed the connection"):
            await synthesized(engine_client, Utterance("Hi", "v"))
        assert len(member.requests) == 1  # something was heard: not spoken again


async def test_a_connection_closed_while_idle_is_tried_once_more() -> None:
    async def hang_up_first(request: dict[str, object], writer: asyncio.StreamWriter) -> None:
        if len(member.requests) == 1:
            writer.close()
        else:
            await beeps(request, writer)

    async with member_pool(hang_up_first) as member, started(RemoteEngineClient(member.url, "m")) as engine_client:
        assert (await synthesized(engine_client, Utterance("Hi", "v"))).size > 0
        assert len(member.requests) == 2


async def test_a_pool_that_says_nothing_is_timed_out() -> None:
    async def silent(request: dict[str, object], writer: asyncio.StreamWriter) -> None:
        del request, writer

    async with member_pool(silent) as member:
        engine_client = RemoteEngineClient(member.url, "m", first_audio_timeout_seconds=0.1)
        async with started(engine_client):
            with pytest.raises(EngineTimeout):
                await synthesized(engine_client, Utterance("Hi", "v"))


async def test_a_pool_that_is_not_there_is_a_crash() -> None:
    async with started(RemoteEngineClient("http://127.0.0.1:9", "m")) as engine_client:
        with pytest.raises(EngineCrashed, match="not reachable"):
            await synthesized(engine_client, Utterance("Hi", "v"))


# Details.


def readiness(engine_client: EngineClient) -> str:
    """A word, because a type checker takes a bool that it has seen once for settled."""
    return "ready" if engine_client.ready else "not ready"


async def gone(pid: int) -> None:
    def ended() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            return True

    await until(ended)


def in_process_table(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def processes_of_group(group: int) -> list[int]:
    return sorted(_group_members(group))


def _group_members(group: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                state, _, process_group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
                if int(process_group) == group and state != "Z":
                    yield int(entry.name)
