"""OpenAI's own client against a real server with a real engine, unchanged but for its address."""

import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import soundfile

from tests.support.server_process import Running, running
from tests.support.timeouts import HANG_SECONDS

KEY = "tts_correct-horse-battery-staple"
TEXT = "The quick brown fox jumps over the lazy dog."
LONG = "One sentence comes after the other. " * 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("server")
    keys = folder / "keys"
    keys.mkdir()
    (keys / "demo").write_text(hashlib.sha256(KEY.encode()).hexdigest())
    config = {
        "tenant": "team-acme.acme",
        "models": [
            {
                "name": "espeak",
                "languages": ["en", "zh"],
                "voices": [{"name": "en-us"}, {"name": "cmn"}],
                "firstAudioTimeoutSeconds": HANG_SECONDS,
            }
        ],
        "modelAliases": {"tts-1": "espeak"},
        "voiceAliases": {"alloy": "en-us"},
        "languageRouting": [{"language": "zh", "voice": "cmn"}, {"language": "default", "voice": "en-us"}],
        "auth": {"modes": ["APIKey"], "keysDirectory": str(keys)},
        "storage": {"directory": str(folder / "audio")},
    }
    (folder / "server.json").write_text(json.dumps(config))
    (folder / "quota.json").write_text('{"maxTextCharacters": 1000}')
    with running(folder, f"--config={folder / 'server.json'}", f"--quota={folder / 'quota.json'}") as server:
        yield server


@pytest.fixture
def client(server: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=KEY, base_url=f"{server.url}/v1", max_retries=0) as client:
        yield client


def seconds_of(audio: bytes, format_: str) -> float:
    """As its players hear it."""
    if format_ == "pcm":
        return len(audio) / 2 / 24_000
    if format_ == "aac":
        import av

        container: Any = av.open(io.BytesIO(audio))
        with container:
            return float(sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0)))
    samples, rate = soundfile.read(io.BytesIO(audio))
    assert np.abs(samples).max() > 0.05
    return float(len(samples) / rate)


@pytest.mark.parametrize("format_", ["mp3", "opus", "aac", "flac", "wav", "pcm"])
def test_every_format_is_written_to_a_file_and_plays(client: openai.OpenAI, tmp_path: Path, format_: str) -> None:
    file = tmp_path / f"speech.{format_}"
    speech = client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT, response_format=format_)  # type: ignore[arg-type]
    speech.write_to_file(file)
    assert 2.0 < seconds_of(file.read_bytes(), format_) < 4.0


@pytest.mark.parametrize("format_", ["mp3", "opus", "aac", "wav", "pcm"])
def test_a_long_text_streams(client: openai.OpenAI, format_: str) -> None:
    with client.audio.speech.with_streaming_response.create(
        model="tts-1",
        voice="alloy",
        input=LONG,
        response_format=format_,  # type: ignore[arg-type]
    ) as reply:
        # A WAV that is complete within two seconds has its length; the others stream in any case.
        assert reply.headers.get("transfer-encoding") == "chunked" or (
            format_ == "wav" and "content-length" in reply.headers
        )
        assert reply.headers["x-tts-engine"] == "espeak"
        chunks = list(reply.iter_bytes())
    assert len(chunks) > 1
    assert 30 < seconds_of(b"".join(chunks), format_) < 70


def test_mp3_is_what_comes_without_a_format(client: openai.OpenAI) -> None:
    speech = client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT, instructions="Cheerfully.")
    assert speech.response.headers["content-type"] == "audio/mpeg"


def test_faster_speech_is_shorter(client: openai.OpenAI) -> None:
    def seconds(speed: float) -> float:
        speech = client.audio.speech.create(
            model="tts-1", voice="alloy", input=TEXT, response_format="wav", speed=speed
        )
        return seconds_of(speech.read(), "wav")

    assert seconds(0.5) / seconds(2.0) == pytest.approx(4, rel=0.25)


def test_a_custom_voice_may_be_an_object(client: openai.OpenAI) -> None:
    speech = client.audio.speech.create(
        model="espeak", voice={"id": "cmn"}, input="你好，世界。", response_format="wav"
    )
    assert seconds_of(speech.read(), "wav") > 0.5


def test_events_come_as_the_api_has_them(client: openai.OpenAI) -> None:
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input=LONG, response_format="pcm", stream_format="sse"
    ) as reply:
        said = [json.loads(line.removeprefix("data: ")) for line in reply.iter_lines() if line.startswith("data: ")]
    assert said[-1]["type"] == "speech.audio.done"
    assert {event["type"] for event in said[:-1]} == {"speech.audio.delta"}
    assert len(said) > 3


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["espeak", "tts-1"]
    assert client.models.retrieve("tts-1").owned_by == "team-acme.acme"


def test_a_wrong_field_is_a_bad_request(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.speech.create(model="tts-1", voice="zoe", input=TEXT)
    assert (refused.value.param, refused.value.code, refused.value.type) == (
        "voice", "voice_not_found", "invalid_request_error",
    )  # fmt: skip
    assert refused.value.request_id
    with pytest.raises(openai.BadRequestError) as too_long:
        client.audio.speech.create(model="tts-1", voice="alloy", input="a" * 1001)
    assert too_long.value.param == "input"


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        client.audio.speech.create(model="gpt-9", voice="alloy", input=TEXT)
    assert refused.value.param == "model"


def test_a_wrong_key_is_an_authentication_error(server: Running) -> None:
    stranger = openai.OpenAI(api_key="sk-stranger", base_url=f"{server.url}/v1", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        stranger.audio.speech.create(model="tts-1", voice="alloy", input=TEXT)
    with pytest.raises(openai.AuthenticationError):
        stranger.models.list()


def test_a_spent_minute_is_a_rate_limit_error_until_the_file_says_otherwise(
    server: Running, client: openai.OpenAI
) -> None:
    quota = server.log.parent / "quota.json"
    before = quota.read_text()
    loads = sum(line["event"] == "quota reloaded" for line in server.lines())
    try:
        quota.write_text('{"requestsPerMinute": 1}')
        _until(lambda: sum(line["event"] == "quota reloaded" for line in server.lines()) > loads)
        with pytest.raises(openai.RateLimitError) as refused:  # others of this minute are counted, or this one is first
            _twice(client)
        assert int(refused.value.response.headers["retry-after"]) > 0
    finally:
        quota.write_text(before)
        _until(lambda: sum(line["event"] == "quota reloaded" for line in server.lines()) > loads + 1)
    client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT)


def test_a_spent_day_is_not_tried_again(server: Running, client: openai.OpenAI) -> None:
    quota = server.log.parent / "quota.json"
    before = quota.read_text()
    loads = sum(line["event"] == "quota reloaded" for line in server.lines())
    try:
        quota.write_text('{"requestsPerDay": 1}')
        _until(lambda: sum(line["event"] == "quota reloaded" for line in server.lines()) > loads)
        patient = client.with_options(max_retries=3)
        asked = sum(line.get("status") == 429 for line in server.lines())
        with pytest.raises(openai.RateLimitError) as refused:
            _twice(patient)
        assert refused.value.code == "insufficient_quota"
        _until(lambda: sum(line.get("status") == 429 for line in server.lines()) > asked)
        assert sum(line.get("status") == 429 for line in server.lines()) == asked + 1
    finally:
        quota.write_text(before)
        _until(lambda: sum(line["event"] == "quota reloaded" for line in server.lines()) > loads + 1)


async def test_the_async_client_speaks_too(server: Running) -> None:
    async with (
        openai.AsyncOpenAI(api_key=KEY, base_url=f"{server.url}/v1", max_retries=0) as client,
        client.audio.speech.with_streaming_response.create(
            model="tts-1", voice="alloy", input=TEXT, response_format="pcm"
        ) as reply,
    ):
        audio = b"".join([chunk async for chunk in reply.iter_bytes()])
    assert 2.0 < seconds_of(audio, "pcm") < 4.0


def test_neither_text_nor_key_is_in_what_the_server_says(server: Running, client: openai.OpenAI) -> None:
    secret, header = "Xylophone quartz", {"Authorization": f"Bearer {KEY}"}
    client.audio.speech.create(model="tts-1", voice="alloy", input=secret)
    for fields in ({"model": secret}, {"voice": secret}, {"response_format": secret}, {"input": secret * 100}):
        body = {"model": "tts-1", "voice": "alloy", "input": TEXT} | fields
        assert httpx.post(
            f"{server.url}/v1/audio/speech", json=body, headers=header, timeout=HANG_SECONDS
        ).is_client_error
    httpx.post(f"{server.url}/v1/tts/synthesize", json={secret: 1}, headers=header, timeout=HANG_SECONDS)
    httpx.get(f"{server.url}/{secret}?{secret}", headers=header, timeout=HANG_SECONDS)
    said = server.log.read_text() + (server.log.parent / "errors").read_text() + server.metrics()
    for word in ("Xylophone", "quartz", "quick brown", "sentence comes", KEY, hashlib.sha256(KEY.encode()).hexdigest()):
        assert word not in said
    line = next(line for line in reversed(server.lines()) if line.get("text_len") == len(secret))
    assert line["tenant"] == "team-acme.acme"
    assert (line["voice"], line["model"], line["status"], line["key_name"]) == ("en-us", "espeak", 200, "demo")
    assert {"timestamp", "level", "request_id", "duration"} <= set(line)


def test_metrics_are_on_a_port_of_their_own(server: Running) -> None:
    assert "tts_requests_total" in server.metrics()
    assert httpx.get(f"{server.url}/metrics", timeout=HANG_SECONDS).status_code == 404


def _twice(client: openai.OpenAI) -> None:
    for _ in range(2):
        client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANG_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
