"""A caller gets speech whole or streamed, by voice and language; audio that ends too early is an error."""

import asyncio
import base64
import io
import wave
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import generate_latest
from starlette.types import Message
from structlog.testing import capture_logs

from tests.support.replies import LONG, UTTERANCE_BYTES, cut_in_the_middle, events, fails, wav_samples
from tests.support.server_app import (
    AT_ONCE,
    RATE_HZ,
    SENTENCES,
    Call,
    RunningApp,
    ToneClient,
    config,
    running_app,
    until,
)
from tts_server.audio import FORMATS
from tts_server.config.schema import PausesConfig, QuotaConfig
from tts_server.errors import EngineCrashed, EngineTimeout
from tts_server.http import speech_response as reply_module
from tts_server.inference.client import Utterance
from tts_server.pipeline import response as response_module
from tts_server.samples import Samples
from tts_server.scheduling.fair_queue import SchedulingParams

ALTERNATING = "One. <lang=de>Zwei.</lang> " * 140
"""As many lines as it has sentences: none can be joined to its neighbour."""


@pytest.fixture
async def acme(tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with running_app(config(tmp_path)) as running:
        yield running


async def test_a_short_text_comes_whole_with_its_length(acme: RunningApp) -> None:
    reply = await acme.speech()
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "audio/wav"
    assert int(reply.headers["content-length"]) == len(reply.content) == 44 + UTTERANCE_BYTES
    assert wav_samples(reply.content) == RATE_HZ // 10
    assert reply.headers["x-tts-engine"] == "tone"
    assert reply.headers["x-tts-status"] == "ok"


@pytest.mark.parametrize("format_", ["wav", "flac"])
async def test_what_is_whole_in_time_goes_out_with_its_length(acme: RunningApp, format_: str) -> None:
    """More than the ten seconds that an engine may be ahead of a client."""
    reply = await acme.speech(input=ALTERNATING, response_format=format_)
    assert int(reply.headers["content-length"]) == len(reply.content)
    if format_ == "wav":
        with wave.open(io.BytesIO(reply.content)) as file:
            assert file.getnframes() == 280 * RATE_HZ // 10
            assert len(file.readframes(file.getnframes())) == 280 * UTTERANCE_BYTES


async def test_a_wav_that_is_too_large_to_wait_for_is_streamed(
    acme: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_module, "WAV_BYTES", 10 * UTTERANCE_BYTES)
    reply = await acme.speech(input=ALTERNATING)
    assert "content-length" not in reply.headers
    assert len(reply.content) == 44 + 280 * UTTERANCE_BYTES


async def test_a_longer_text_streams_sentence_by_sentence(acme: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_module, "WAV_SECONDS", 0.05)
    tone = acme.engine_clients["tone"]
    tone.gated_from = 1
    tone.gate.clear()
    call = Call(acme, LONG | {"response_format": "wav"})
    running = asyncio.create_task(call.run())
    await until(lambda: call.parts and len(tone.spoken) == 2)  # the second is begun, the first is on its way
    assert not call.has_ended()
    tone.gate.set()
    await running
    assert call.has_ended()
    assert b"content-length" not in call.headers
    data = b"".join(call.parts)
    assert wav_samples(data) * 2 + 1 == 0xFFFFFFFF
    assert len(data) == 44 + 3 * UTTERANCE_BYTES


async def test_flac_comes_whole_because_it_states_its_length_first(acme: RunningApp) -> None:
    reply = await acme.speech(input=SENTENCES, response_format="flac")
    assert int(reply.headers["content-length"]) == len(reply.content)


@pytest.mark.parametrize("error", [EngineCrashed("It died."), EngineTimeout("It is silent.")])
async def test_a_failure_before_the_first_sound_is_an_error_with_a_code(acme: RunningApp, error: Exception) -> None:
    def fail(utterance: int, part: int) -> None:
        raise error

    acme.engine_clients["tone"].fail = fail
    for reply in (
        await acme.speech(),
        await acme.speech(input=SENTENCES, stream_format="sse"),
        await acme.synthesize(),
    ):
        assert reply.status_code == (504 if isinstance(error, EngineTimeout) else 502)
        assert reply.json()["error"]["type"] == "server_error"


async def test_a_failure_between_two_sentences_is_mended_unheard(acme: RunningApp) -> None:
    acme.engine_clients["tone"].fail = fails(1, part=0)
    reply = await acme.speech(**LONG)
    assert reply.status_code == 200
    texts = [utterance.text for utterance in acme.engine_clients["tone"].spoken]
    assert len(texts) == 4
    assert texts[1] == texts[2]
    assert len(reply.content) == pytest.approx(3 * UTTERANCE_BYTES * 24_000 / RATE_HZ, abs=4)


async def test_a_second_failure_cuts_the_stream_and_never_ends_it(acme: RunningApp) -> None:
    with capture_logs() as lines:
        call = await cut_in_the_middle(acme, LONG)
    assert call.status == 200
    assert call.parts
    (line,) = lines
    assert (line["log_level"], line["status"], line["error"]) == ("error", 200, "engine_crashed")
    text = generate_latest(acme.application.server.metrics.registry).decode()
    assert 'tts_replies_cut_total{model="tone",reason="engine_crashed",tenant="team-acme.acme"} 1.0' in text


async def test_a_sentence_that_was_heard_in_part_is_not_said_again(acme: RunningApp) -> None:
    tone = acme.engine_clients["tone"]

    def fail(utterance: int, part: int) -> None:
        if utterance == 1 and part == 1:
            raise EngineCrashed("Engine tone ended with SIGSEGV.")

    tone.fail = fail
    call = Call(acme, LONG)
    running = asyncio.create_task(call.run())
    await running
    heard = b"".join(call.parts)
    if call.has_ended():  # its first half was not taken yet, so it could be said again
        assert len(tone.spoken) == 4
        assert len(heard) == pytest.approx(3 * UTTERANCE_BYTES * 1.5, abs=4)
    else:
        assert len(tone.spoken) == 2


async def test_a_whole_reply_that_breaks_is_an_error(acme: RunningApp) -> None:
    acme.engine_clients["tone"].fail = fails(0, part=1)
    assert (await acme.speech()).status_code == 502
    acme.engine_clients["tone"].fail = fails(2, part=0, times=2)
    assert (await acme.speech(input=SENTENCES, response_format="flac")).status_code == 502


async def test_events_carry_the_audio_and_end_with_the_usage(acme: RunningApp) -> None:
    said = events(await acme.speech(**LONG, stream_format="sse"))
    audio = b"".join(base64.b64decode(event["audio"]) for event in said[:-1])
    assert {event["type"] for event in said[:-1]} == {"speech.audio.delta"}
    assert np.frombuffer(audio, "<i2").size == pytest.approx(0.3 * 24_000, abs=4)
    assert said[-1]["type"] == "speech.audio.done"
    assert said[-1]["usage"]["input_tokens"] == said[-1]["usage"]["characters"] == len(SENTENCES)
    assert said[-1]["usage"]["audio_seconds"] == pytest.approx(0.3)


@pytest.mark.parametrize("format_", FORMATS)
async def test_no_line_of_an_event_is_longer_than_a_reader_of_lines_takes(tmp_path: Path, format_: str) -> None:
    """Go's bufio.Scanner ends at 64 KiB. An engine may yield minutes of audio in one part, and flac comes whole."""

    class Minutes(ToneClient):
        async def speak(self, utterance: Utterance, params: SchedulingParams = AT_ONCE) -> AsyncGenerator[Samples]:
            del utterance, params
            noise = np.random.default_rng(7).integers(-8000, 8000, 90 * RATE_HZ + 1, dtype=np.int16)
            yield noise
            yield noise[:7]

    async with running_app(config(tmp_path), tone=Minutes()) as acme:
        reply = await acme.speech(stream_format="sse", response_format=format_)
        assert reply.status_code == 200
        assert max(len(line) for line in reply.content.splitlines()) < 32 * 1024
        audio = b"".join(base64.b64decode(event["audio"]) for event in events(reply)[:-1])
        whole = await acme.speech(response_format=format_)
        assert len(audio) == len(whole.content)
        if format_ == "pcm":
            assert audio == whole.content
            assert all(len(base64.b64decode(event["audio"])) % 2 == 0 for event in events(reply)[:-1])


async def test_events_that_break_off_say_so(acme: RunningApp) -> None:
    acme.engine_clients["tone"].fail = fails(1, part=0, times=2)
    reply = await acme.speech(**LONG, stream_format="sse")
    assert reply.status_code == 200
    last = events(reply)[-1]
    assert last["type"] == "error"
    assert last["error"]["code"] == "engine_crashed"
    assert last["error"]["request_id"] == reply.headers["x-request-id"]


async def test_hanging_up_before_the_first_sound_stops_the_engine(tmp_path: Path) -> None:
    async with running_app(config(tmp_path), QuotaConfig(requests_per_minute=1)) as acme:
        tone = acme.engine_clients["tone"]
        tone.gate.clear()
        call = Call(acme, LONG)
        running = asyncio.create_task(call.run())
        await until(lambda: tone.spoken)
        call.gone.set()
        await running
        assert call.sent == []
        tone.gate.set()
        assert (await acme.speech()).status_code == 200, "its quota was given back"


async def test_hanging_up_in_the_middle_stops_the_engine_and_is_paid(tmp_path: Path) -> None:
    async with running_app(config(tmp_path), QuotaConfig(requests_per_minute=1)) as acme:
        tone = acme.engine_clients["tone"]
        tone.gated_from = 40  # else the whole reply may be sent before the client hangs up
        tone.gate.clear()
        call = Call(acme, LONG | {"input": ALTERNATING})
        running = asyncio.create_task(call.run())
        await until(lambda: call.parts)
        with capture_logs() as lines:
            call.gone.set()
            await running
        tone.gate.set()
        assert not call.has_ended()
        assert [(line["event"], line["log_level"], line["error"]) for line in lines] == [("request", "info", "hung_up")]
        assert (await acme.speech()).status_code == 429
        assert len(tone.spoken) <= 41, "nothing was synthesized after the client had gone"


async def test_a_listener_that_stops_reading_stops_the_speaking(acme: RunningApp) -> None:
    tone = acme.engine_clients["tone"]
    call = Call(acme, LONG | {"input": ALTERNATING})
    running = asyncio.create_task(call.run())
    await until(lambda: call.parts)
    call.stalled.clear()
    await until(lambda: len(tone.spoken) >= 60)
    for _ in range(2000):
        await asyncio.sleep(0)
    # Ten seconds of sound wait, at 100 ms a sentence, besides what was on its way.
    assert len(tone.spoken) <= 110
    call.stalled.set()
    await running
    assert call.has_ended()


async def test_a_listener_that_stalls_for_good_is_cut_off(acme: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply_module, "SEND_SECONDS", 0.05)
    call = Call(acme, LONG)
    running = asyncio.create_task(call.run())
    await until(lambda: call.parts)
    call.stalled.clear()
    await running
    assert not call.has_ended()


class Player(Call):
    """Takes sound as fast as it plays it, twenty times as fast as it is."""

    async def _send(self, message: Message) -> None:
        await asyncio.sleep(len(message.get("body", b"")) / (20 * 2 * RATE_HZ))
        await super()._send(message)


async def test_a_player_takes_what_waits_for_it_as_slowly_as_it_plays(
    acme: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reply_module, "SEND_SECONDS", 0.25)  # which is less than it needs for the ten seconds that wait
    monkeypatch.setattr(reply_module, "SEND_BYTES", 16_000)
    call = Player(acme, LONG | {"input": ALTERNATING, "response_format": "wav"})
    await call.run()
    assert call.has_ended()


async def test_the_first_sentence_is_asked_for_alone_and_short_ones_after_it_together(tmp_path: Path) -> None:
    tone, bass = config(tmp_path).models
    tone = tone.model_copy(update={"pauses": PausesConfig()})
    sentence = "Six words make a short sentence."
    async with running_app(config(tmp_path, models=(tone, bass))) as acme:
        await acme.speech(input=" ".join([sentence] * 7))
        assert [u.text.count(sentence) for u in acme.engine_clients["tone"].spoken] == [1, 1, 2, 3]


async def test_a_voice_speaks_its_language_and_the_route_speaks_the_others(acme: RunningApp) -> None:
    await acme.speech(input="Good morning. 你好，世界。 <lang=de>Guten Tag.</lang>")
    said = {
        name: [(u.voice, u.language) for u in engine_client.spoken]
        for name, engine_client in acme.engine_clients.items()
    }
    assert said == {"tone": [("ann", "en"), ("ann", "de")], "bass": [("mei", "zh")]}


async def test_without_a_voice_languages_alone_decide(acme: RunningApp) -> None:
    reply = await acme.synthesize(text="<lang=de>Guten Tag.</lang> Good morning.")
    assert [(u.voice, u.language) for u in acme.engine_clients["tone"].spoken] == [("bob", "de"), ("ann", "en")]
    assert reply.json()["engine_used"] == "tone"


async def test_a_request_says_language_speed_and_precision(acme: RunningApp) -> None:
    await acme.synthesize(voice="alloy", language="de", speed=2, options={"precision": "int8"})
    (utterance,) = acme.engine_clients["tone"].spoken
    assert (utterance.language, utterance.speed, utterance.precision) == ("de", 2.0, "int8")


async def test_models_of_other_rates_share_one_reply(tmp_path: Path) -> None:
    async with running_app(config(tmp_path), bass=ToneClient(sample_rate_hz=48_000)) as acme:
        reply = await acme.speech(input="Hello there, world. 你好，世界。", response_format="flac")
        assert reply.status_code == 200
        whole = await acme.synthesize(text="Hello there, world. 你好，世界。", format="wav")
        assert whole.json()["duration"] == pytest.approx(0.2, abs=0.005)  # with the ramp between the two


async def test_a_request_id_is_taken_when_it_is_one_and_made_when_not(acme: RunningApp) -> None:
    body = LONG | {"response_format": "wav"}
    taken = await acme.client.post("/v1/audio/speech", json=body, headers={"X-Request-ID": "job-7.a:b"})
    assert taken.headers["x-request-id"] == "job-7.a:b"
    for bad in ("", "a b", "x" * 129, "<script>"):
        made = await acme.client.post("/v1/audio/speech", json=body, headers={"X-Request-ID": bad})
        assert len(made.headers["x-request-id"]) == 32
