"""Callers get fallback audio or an error while engines fail: real processes that misbehave on command."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from tests.support.failing_server import MODES, misbehaving
from tests.support.server_app import SENTENCES, Call, RunningApp, ToneClient, config, running_app, until
from tests.support.timeouts import HANG_SECONDS
from tts_server.circuit_breaker import State
from tts_server.config.schema import FallbackConfig, FallbackVoice, ModelConfig, VoiceConfig
from tts_server.errors import EngineCrashed, InvalidAudio, TextUnreadable


def spared(tmp_path: Path, **changes: Any) -> Any:
    """`tone` falls back to `bass`."""
    models = (
        ModelConfig(
            name="tone",
            voices=(VoiceConfig(name="ann", languages=("en",)), VoiceConfig(name="bob", languages=("de",))),
            fallback=FallbackConfig(model="bass", voices=(FallbackVoice(language="de", voice="max"),)),
        ),
        ModelConfig(
            name="bass",
            voices=(VoiceConfig(name="mei", languages=("en", "zh")), VoiceConfig(name="max", languages=("de",))),
        ),
    )
    return config(tmp_path, models=models, language_routing=(), **changes)


@pytest.fixture
async def acme(tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with running_app(spared(tmp_path)) as running:
        yield running


def always(error: Exception) -> Callable[[int, int], None]:
    def fail(utterance: int, part: int) -> None:
        raise error

    return fail


def metric(app: RunningApp, line: str) -> bool:
    return line in generate_latest(app.application.server.metrics.registry).decode()


async def test_the_fallback_speaks_and_says_so(acme: RunningApp) -> None:
    acme.engine_clients["tone"].fail = always(EngineCrashed("It died."))
    reply = await acme.speech()
    assert reply.status_code == 200
    assert reply.headers["x-tts-engine"] == "bass"
    assert reply.headers["x-tts-fallback-reason"] == "engine_crashed"
    assert reply.headers["x-tts-voice"].startswith("bass/")
    assert reply.headers["x-tts-status"] == "degraded"
    native = await acme.synthesize(voice="bob", language="de")
    assert native.json()["engine_used"] == "bass"
    assert native.json()["status"] == "degraded"
    assert [u.voice for u in acme.engine_clients["bass"].spoken] == ["mei", "max"]
    assert metric(acme, 'tts_fallbacks_total{model="tone",reason="engine_crashed"} 2.0')


async def test_a_fallback_that_is_not_offered_speaks_all_the_same(tmp_path: Path) -> None:
    """Callers neither see nor name it; it is there for those who named the other one."""
    whole = spared(tmp_path)
    tone, bass = whole.models
    hidden = whole.model_copy(update={"models": (tone, bass.model_copy(update={"offered": False}))})
    async with running_app(hidden) as acme:
        acme.engine_clients["tone"].fail = always(EngineCrashed("It died."))
        reply = await acme.speech()
        assert (reply.status_code, reply.headers["x-tts-engine"]) == (200, "bass")
        assert (await acme.speech(model="bass", voice="mei")).status_code == 404
        listed = await acme.client.get("/v1/models")
        assert {entry["id"] for entry in listed.json()["data"]} >= {"tone"}
        assert "bass" not in listed.text
        assert (await acme.client.get("/v1/models/bass")).status_code == 404
        assert "mei" not in (await acme.client.get("/v1/audio/voices")).text


async def test_a_reply_has_one_voice(acme: RunningApp) -> None:
    """The engine speaks two sentences of three, and nothing has been sent: the fallback speaks all three."""
    tone = acme.engine_clients["tone"]
    tone.fail = lambda utterance, part: always(EngineCrashed("It died."))(0, 0) if utterance >= 2 else None
    reply = await acme.speech(input=SENTENCES, response_format="flac")
    assert reply.headers["x-tts-status"] == "degraded"
    assert len(acme.engine_clients["bass"].spoken) == 3


async def test_after_the_first_byte_nobody_else_speaks(acme: RunningApp) -> None:
    tone = acme.engine_clients["tone"]
    tone.fail = lambda utterance, part: always(EngineCrashed("It died."))(0, 0) if utterance >= 1 else None
    tone.gated_from = 1
    tone.gate.clear()
    call = Call(acme, {"model": "tts-1", "voice": "alloy", "input": SENTENCES, "response_format": "wav"})
    running = asyncio.create_task(call.run())
    while not any(call.parts):  # noqa: ASYNC110 - its first byte leaves
        await asyncio.sleep(0)
    tone.gate.set()
    await running
    assert call.status == 200
    assert call.headers[b"x-tts-status"] == b"ok"
    assert not call.has_ended()
    assert acme.engine_clients["bass"].spoken == []
    assert len(tone.spoken) == 3, "the sentence was tried twice"


async def test_texts_that_a_voice_cannot_read_harm_nobody_else(acme: RunningApp) -> None:
    """The engine works: its breaker stays closed, whoever sends such texts again and again."""
    tone = acme.engine_clients["tone"]
    tone.fail = always(TextUnreadable("Voice ann cannot read this text: it speaks en."))
    for _ in range(10):
        assert (await acme.speech()).headers["x-tts-status"] == "degraded"
    tone.fail = lambda utterance, part: None
    reply = await acme.speech(input="Another caller.")
    assert (reply.status_code, reply.headers["x-tts-status"]) == (200, "ok")


async def test_without_a_fallback_such_a_text_is_the_callers_to_change(tmp_path: Path) -> None:
    async with running_app(config(tmp_path)) as acme:
        acme.engine_clients["tone"].fail = always(TextUnreadable("Voice ann cannot read this text: it speaks en."))
        reply = await acme.speech()
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "text_unreadable")


async def test_an_open_breaker_asks_the_fallback_at_once_and_one_probe_closes_it(acme: RunningApp) -> None:
    tone = acme.engine_clients["tone"]
    tone.fail = always(InvalidAudio("Noise."))
    for _ in range(3):
        await acme.speech()
    assert len(tone.spoken) == 3
    assert (await acme.speech()).headers["x-tts-status"] == "degraded"
    assert len(tone.spoken) == 3, "it is not asked any more"
    assert metric(acme, 'tts_breaker_state{model="tone"} 2.0')
    assert metric(acme, 'tts_fallbacks_total{model="tone",reason="engine_given_up"} 1.0')
    snapshot = acme.application.server.snapshot
    assert snapshot is not None
    breaker = snapshot.guards["tone"].breaker
    breaker._now = lambda: 1e12  # as if its time were over
    assert breaker.state is State.HALF_OPEN
    assert metric(acme, 'tts_breaker_state{model="tone"} 1.0'), "though nobody has asked the engine since"
    tone.fail = lambda utterance, part: None
    tone.gated_from = 3
    tone.gate.clear()
    probe = asyncio.create_task(acme.speech())
    while len(tone.spoken) == 3:  # noqa: ASYNC110 - the probe is under way
        await asyncio.sleep(0)
    assert (await acme.speech()).headers["x-tts-status"] == "degraded", "one probe at a time"
    tone.gate.set()
    assert (await probe).headers["x-tts-status"] == "ok"
    assert (await acme.speech()).headers["x-tts-status"] == "ok"
    assert metric(acme, 'tts_breaker_state{model="tone"} 0.0')


async def test_without_a_fallback_an_open_breaker_refuses_nobody(tmp_path: Path) -> None:
    async with running_app(config(tmp_path)) as alone:
        alone.engine_clients["tone"].fail = always(EngineCrashed("It died."))
        assert [(await alone.speech()).status_code for _ in range(5)] == [502] * 5
        alone.engine_clients["tone"].fail = lambda utterance, part: None
        assert (await alone.speech()).status_code == 200


async def test_when_the_fallback_fails_too_its_error_is_the_answer(acme: RunningApp) -> None:
    for tone in acme.engine_clients.values():
        tone.fail = always(EngineCrashed("It died."))
    assert (await acme.speech()).status_code == 502
    assert (await acme.synthesize()).status_code == 502


async def test_a_fallback_of_another_rate_speaks_at_the_models_own(tmp_path: Path) -> None:
    async with running_app(spared(tmp_path), bass=ToneClient(22_050)) as acme:
        acme.engine_clients["tone"].fail = always(EngineCrashed("It died."))
        reply = await acme.speech(response_format="wav")
        assert int.from_bytes(reply.content[24:28], "little") == 16_000


async def test_readiness_goes_only_when_nothing_can_speak(acme: RunningApp) -> None:
    acme.engine_clients["tone"].ready = False
    assert (await acme.client.get("/readyz")).status_code == 200
    assert (await acme.speech()).headers["x-tts-status"] == "degraded"
    assert acme.engine_clients["tone"].spoken == []
    acme.engine_clients["bass"].ready = False
    assert (await acme.client.get("/readyz")).status_code == 503


@pytest.mark.parametrize("mode", MODES)
async def test_every_request_is_answered_whatever_the_engine_does(tmp_path: Path, mode: str) -> None:
    async with misbehaving(tmp_path) as server:
        heard = await server.load(mode, requests=24)
    assert heard.statuses == {200: 24}
    assert heard.degraded >= 6


async def test_who_waits_goes_to_the_fallback_when_the_breaker_opens(tmp_path: Path) -> None:
    """Both processes hang three times: 14 more requests wait behind them, and none waits for a process."""
    async with misbehaving(tmp_path) as server:
        begun = time.monotonic()
        replies = await asyncio.gather(*(server.speech("hang") for _ in range(20)))
        assert [reply.headers["x-tts-status"] for reply in replies] == ["degraded"] * 20
        # Two rounds of a timeout of 1 s and 2 s until a hanging process is killed, where ten would be 30 s.
        assert time.monotonic() - begun < 24


async def test_hanging_up_reaches_the_engine_within_a_tenth_of_a_second(tmp_path: Path) -> None:
    async with misbehaving(tmp_path) as server:
        waits: list[float] = []
        while len(waits) < 5 or (min(waits) > 0.1 and sum(waits) < HANG_SECONDS):  # the machine may be busy meanwhile
            body = {"model": "tone", "voice": "beep", "input": "slow", "response_format": "pcm"}
            call = Call(RunningApp(server.application, server.client), body)
            running = asyncio.create_task(call.run())
            await until(lambda sent=call: len(sent.parts) > 1)  # type: ignore[misc]
            begun = time.monotonic()
            call.gone.set()
            await until(lambda: len(server.pools["tone"]._dispatcher.idle) == 2)
            waits.append(time.monotonic() - begun)
            await running
        assert min(waits) < 0.1
