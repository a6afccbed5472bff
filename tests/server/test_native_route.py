"""`/v1/tts/synthesize` and its links; who may call; what is left of a limit; what there is to choose from."""

import asyncio
import base64
import hashlib
import json
import threading
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from prometheus_client import generate_latest

from tests.support.replies import refusal
from tests.support.server_app import SENTENCES, Call, RunningApp, ToneClient, config, running_app, until
from tts_server.config.schema import AuthConfig, AuthMode, QuotaConfig, StorageConfig
from tts_server.engines.protocol import VoiceFeatures
from tts_server.text.language_detection import Identify
from tts_server.text.statistical_model import StatisticalModel, load

KEY = "tts_correct-horse-battery-staple"


@pytest.fixture
async def acme(tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with running_app(config(tmp_path)) as running:
        yield running


@pytest.fixture
async def locked(tmp_path: Path) -> AsyncIterator[RunningApp]:
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "demo").write_text(hashlib.sha256(KEY.encode()).hexdigest() + "\n")
    (keys / "broken").write_text("not a digest")
    (keys / "..data").mkdir()
    auth = AuthConfig(modes=(AuthMode.API_KEY,), keys_directory=keys)
    async with running_app(config(tmp_path, auth=auth)) as running:
        yield running


async def test_audio_is_kept_behind_a_link(acme: RunningApp) -> None:
    reply = await acme.synthesize(text=SENTENCES, format="wav")
    said = reply.json()
    assert list(said) == [
        "request_id", "audio_url", "duration", "engine_used", "voices_used", "status", "fallback_reason", "cached",
    ]  # fmt: skip
    assert (said["voices_used"], said["fallback_reason"]) == ([{"model": "tone", "voice": "ann"}], None)
    assert said["duration"] == pytest.approx(0.3)
    assert (said["status"], said["cached"], said["request_id"]) == ("ok", False, reply.headers["x-request-id"])
    assert said["audio_url"].startswith("http://acme.test/v1/tts/audio/team-acme.acme/")
    audio = await acme.client.get(said["audio_url"])
    assert audio.headers["content-type"] == "audio/wav"
    assert len(audio.content) == 44 + 3 * 3200


async def test_a_text_in_a_routed_language_has_the_voice_of_that_language(acme: RunningApp) -> None:
    german = "Der Zug nach Hamburg fährt heute von Gleis neun ab."
    reply = await acme.synthesize(text=f"The train is late today, I am afraid. {german} 请稍等。")
    assert reply.headers["x-tts-voice"] == "tone/ann, tone/bob, bass/mei"
    assert [speaker["voice"] for speaker in reply.json()["voices_used"]] == ["ann", "bob", "mei"]
    found = [(utterance.voice, utterance.language) for utterance in acme.engine_clients["tone"].spoken]
    assert found == [("ann", "en"), ("bob", "de")]
    assert [utterance.voice for utterance in acme.engine_clients["bass"].spoken] == ["mei"]


async def test_a_long_text_is_compared_in_a_thread(acme: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop goes on while a text of many sentences is split."""
    threads: set[bool] = set()
    identify = load()

    def noted(text: str) -> Mapping[str, float]:
        threads.add(threading.current_thread() is threading.main_thread())
        return identify(text)

    async def model(self: StatisticalModel) -> Identify:
        return noted

    monkeypatch.setattr(StatisticalModel, "identify", model)
    await acme.synthesize(text="Please wait for the next announcement. " * 20)
    assert threads == {False}


async def test_without_the_model_text_is_in_the_default_language(
    acme: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def none(self: StatisticalModel) -> None:
        return None

    monkeypatch.setattr(StatisticalModel, "identify", none)
    await acme.synthesize(text="Der Zug nach Hamburg fährt heute von Gleis neun ab.")
    assert [utterance.voice for utterance in acme.engine_clients["tone"].spoken] == ["ann"]


async def test_the_language_of_the_request_is_not_detected(acme: RunningApp) -> None:
    await acme.synthesize(text="The train is late today, I am afraid.", language="de")
    assert [utterance.language for utterance in acme.engine_clients["tone"].spoken] == ["de"]


async def test_accept_audio_answers_with_the_audio(acme: RunningApp) -> None:
    reply = await acme.client.post("/v1/tts/synthesize", json={"text": "Hello."}, headers={"Accept": "audio/mpeg, */*"})
    assert reply.headers["content-type"] == "audio/mpeg"


async def test_a_sample_rate_is_what_was_asked(acme: RunningApp) -> None:
    said = (await acme.synthesize(format="wav", sample_rate=48_000)).json()
    audio = (await acme.client.get(said["audio_url"])).content
    assert int.from_bytes(audio[24:28], "little") == 48_000


async def test_a_changed_link_opens_nothing(acme: RunningApp) -> None:
    url = (await acme.synthesize()).json()["audio_url"]
    parts = urlsplit(url)
    expires = parse_qs(parts.query)["expires"][0]
    later = url.replace(f"expires={expires}", f"expires={int(expires) + 1}")
    other = url.replace("team-acme.acme", "team-other.acme")
    for changed in (later, other, url[:-1] + ("0" if url[-1] != "0" else "1")):
        assert refusal(await acme.client.get(changed)) == (403, None, "permission_denied")
    elsewhere = url.replace(acme.application.server.links.replica, "0" * 16)
    assert refusal(await acme.client.get(elsewhere)) == (410, None, "audio_gone")


@pytest.mark.parametrize(
    "host", ["", "acme.test/path", "user@acme.test", "acme test", 'acme.test"', "acme.test?a=", "acmé.test"]
)
async def test_a_host_that_is_none_is_in_no_link(acme: RunningApp, host: str) -> None:
    """Whoever shares the link would lead others to what a caller wrote there."""
    headers = {b"Host": host.encode("latin-1")}
    reply = await acme.client.post("/v1/tts/synthesize", json={"text": "Hi."}, headers=headers)
    assert reply.json()["audio_url"].startswith("/v1/tts/audio/team-acme.acme/")
    assert (await acme.client.get(reply.json()["audio_url"])).status_code == 200


@pytest.mark.parametrize(
    ("trusted", "said", "expected"),
    [
        ("127.0.0.0/8", "https", "https"), ("127.0.0.0/8", "HTTPS, http", "https"), ("127.0.0.0/8", "ftp", "http"),
        ("10.0.0.0/8", "https", "http"), (None, "https", "http"),
    ],
)  # fmt: skip
async def test_a_link_is_https_where_a_proxy_that_is_believed_says_so(
    tmp_path: Path, trusted: str | None, said: str, expected: str
) -> None:
    auth = AuthConfig.model_validate({"trustedProxies": [trusted] if trusted else None})
    async with running_app(config(tmp_path, auth=auth)) as acme:
        headers = {"X-Forwarded-Proto": said}
        reply = await acme.client.post("/v1/tts/synthesize", json={"text": "Hi."}, headers=headers)
        assert reply.json()["audio_url"].startswith(f"{expected}://acme.test/v1/tts/audio/")


async def test_a_link_whose_audio_was_removed_is_gone(acme: RunningApp, tmp_path: Path) -> None:
    url = (await acme.synthesize()).json()["audio_url"]
    for file in (tmp_path / "audio" / "team-acme.acme").iterdir():
        file.unlink()
    assert refusal(await acme.client.get(url)) == (410, None, "audio_gone")


async def test_audio_that_cannot_be_kept_comes_in_the_answer_which_says_why(tmp_path: Path) -> None:
    small = StorageConfig(directory=tmp_path / "audio", max_bytes=100)
    async with running_app(config(tmp_path, storage=small)) as acme:
        reply = await acme.synthesize(format="wav")
        assert reply.status_code == 200
        said = reply.json()
        assert said["audio_url"] is None
        assert said["audio_url_error"]["code"] == "storage_unavailable"
        assert "larger than the whole store" in said["audio_url_error"]["message"]
        assert len(base64.b64decode(said["audio"])) == 44 + 3200
        text = generate_latest(acme.application.server.metrics.registry).decode()
        assert 'tts_unkept_audio_total{tenant="team-acme.acme"} 1.0' in text


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Basic {KEY}",
        KEY,
        f"Bearer {KEY}x",
        f"Bearer {KEY} x",
        "Bearer é",
    ],
)
@pytest.mark.parametrize("path", ["/v1/audio/speech", "/v1/tts/synthesize"])
async def test_without_a_good_key_not_even_the_body_is_read(
    locked: RunningApp, path: str, authorization: str | None
) -> None:
    headers = [] if authorization is None else [(b"authorization", authorization.encode())]
    reply = await locked.client.post(path, content=b"\xff" * 10_000_000, headers=headers)
    assert refusal(reply) == (401, None, "invalid_api_key")
    assert reply.headers["www-authenticate"] == "Bearer"


async def test_lists_need_a_key_too_and_health_does_not(locked: RunningApp) -> None:
    for path in ("/v1/models", "/v1/models/tone", "/v1/audio/voices"):
        assert (await locked.client.get(path)).status_code == 401
    for path in ("/healthz", "/readyz"):
        assert (await locked.client.get(path)).status_code == 200


async def test_a_good_key_speaks(locked: RunningApp) -> None:
    headers = {"Authorization": f"bearer  {KEY}"}
    reply = await locked.client.post("/v1/tts/synthesize", json={"text": "Hi."}, headers=headers)
    assert reply.status_code == 200
    two = [(b"authorization", f"Bearer {KEY}".encode())] * 2
    assert (await locked.client.get("/v1/models", headers=two)).status_code == 401


async def test_a_key_may_come_where_authorization_cannot(locked: RunningApp) -> None:
    """The service proxy of an API server removes `Authorization`."""
    key, authorization = ("X-API-Key", KEY), ("Authorization", f"Bearer {KEY}")
    body = {"text": "Hi."}
    assert (await locked.client.post("/v1/tts/synthesize", json=body, headers=[key])).status_code == 200
    for refused in ([("X-API-Key", "wrong")], [("X-API-Key", "")], [key, authorization], [key, key]):
        reply = await locked.client.get("/v1/models", headers=refused)
        assert reply.status_code == 401, refused
        assert KEY not in reply.text


async def test_where_no_key_is_needed_any_is_fine(acme: RunningApp) -> None:
    reply = await acme.client.get("/v1/models", headers={"Authorization": "Bearer sk-unused"})
    assert reply.status_code == 200


async def test_a_member_pool_opens_only_to_the_internal_credential(tmp_path: Path) -> None:
    internal = tmp_path / "internal"
    internal.mkdir()
    auth = AuthConfig(modes=(AuthMode.NONE,), internal_directory=internal)
    async with running_app(config(tmp_path, role="Member", auth=auth), QuotaConfig(requests_per_minute=1)) as member:
        body = {"model": "tone", "voice": "ann", "input": "<lang=zh>", "response_format": "pcm", "language": "de"}
        assert (await member.client.post("/v1/audio/speech", json=body)).status_code == 401
        (internal / "token").write_text("between-pools\n")
        await member.application.watcher.poll()
        headers = {"Authorization": "Bearer between-pools"}
        inside = {"precision": "int8", "due_in_seconds": 50}
        for _ in range(3):  # counted by the entry pool
            reply = await member.client.post("/v1/audio/speech", json=body | inside, headers=headers)
            assert reply.status_code == 200
        spoken = member.engine_clients["tone"].spoken[0]
        assert (spoken.text, spoken.language, spoken.precision) == ("<lang=zh>", "de", "int8")
        assert member.engine_clients["tone"].turns[0].due == pytest.approx(time.monotonic() + 50, abs=10)
        for other in (
            "",
            "Bearer",
            "Bearer between",
            "Bearer between-pools2",
            "Bearer Between-pools",
            "Basic between-pools",
        ):
            reply = await member.client.post("/v1/audio/speech", json=body, headers={"Authorization": other})
            assert refusal(reply) == (401, None, "invalid_api_key"), other
        assert len(member.engine_clients["tone"].spoken) == 3


async def test_what_is_left_of_the_limit_goes_with_every_answer(tmp_path: Path) -> None:
    async with running_app(config(tmp_path), QuotaConfig(requests_per_minute=2)) as acme:
        first = await acme.speech()
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        assert (await acme.speech(voice="zoe")).status_code == 400, "a refused request is given back"
        assert (await acme.speech()).headers["x-ratelimit-remaining-requests"] == "0"
        refused = await acme.speech()
        assert refusal(refused) == (429, None, "rate_limit_exceeded")
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert "requestsPerMinute" in refused.json()["error"]["message"]
        assert 58 <= int(refused.headers["retry-after"]) <= 60
        metrics = generate_latest(acme.application.server.metrics.registry).decode()
        assert 'tts_quota_remaining{quota="requestsPerMinute",tenant="team-acme.acme"} 0.0' in metrics
        assert refused.headers["ratelimit"].startswith('"requestsPerMinute";r=0;t=')


async def test_replicas_share_a_limit_that_none_of_them_counts_for_all(tmp_path: Path) -> None:
    async with running_app(config(tmp_path, max_replicas=3), QuotaConfig(requests_per_minute=6)) as acme:
        replies = [(await acme.speech()).status_code for _ in range(3)]
    assert replies == [200, 200, 429]


async def test_models_and_voices_are_listed_with_their_aliases(acme: RunningApp) -> None:
    models = (await acme.client.get("/v1/models")).json()
    assert models["object"] == "list"
    assert [model["id"] for model in models["data"]] == ["tone", "bass", "tts-1"]
    assert {model["owned_by"] for model in models["data"]} == {"team-acme.acme"}
    assert all("license" in model for model in models["data"])
    assert (await acme.client.get("/v1/models/tts-1")).json()["id"] == "tts-1"
    voices = (await acme.client.get("/v1/audio/voices")).json()["data"]
    assert [(voice["id"], voice["name"], voice["model"], voice["languages"]) for voice in voices] == [
        ("ann", "ann", "tone", ["en", "de"]),
        ("bob", "bob", "tone", ["de"]),
        ("mei", "mei", "bass", ["zh"]),
        ("alloy", "ann", "tone", ["en", "de"]),
    ]


async def test_voices_have_their_gender_and_blend_where_the_engine_can(tmp_path: Path) -> None:
    tone = ToneClient()
    tone.voice_features = VoiceFeatures({"ann": "female"}, blends=True)
    async with running_app(config(tmp_path), tone=tone) as acme:
        voices = (await acme.client.get("/v1/audio/voices")).json()["data"]
        assert [voice["gender"] for voice in voices] == ["female", None, None, "female"]
        blended = await acme.synthesize(voice="ann(3)+bob", model="tone")
        assert blended.status_code == 200
        assert tone.spoken[-1].voice == "ann(0.75)+bob(0.25)"
        assert refusal(await acme.synthesize(voice="ann(3)+", model="tone")) == (400, "voice", "voice_not_found")
        assert refusal(await acme.synthesize(voice="mei+mei", model="bass")) == (400, "voice", "voice_not_found")
        metrics = acme.application.server.metrics
        assert 'voice="blend"' in generate_latest(metrics.registry).decode()
        assert "0.75" not in generate_latest(metrics.registry).decode()


async def test_a_draining_replica_is_not_ready_and_closes_its_connections(acme: RunningApp) -> None:
    acme.application.server.draining = True
    assert refusal(await acme.client.get("/readyz")) == (503, None, "draining")
    reply = await acme.speech()
    assert reply.status_code == 200
    assert reply.headers["connection"] == "close"
    assert (await acme.client.get("/healthz")).status_code == 200


@pytest.mark.parametrize("begun", [False, True])
async def test_a_request_that_outlasts_the_drain_has_an_error_of_its_own(acme: RunningApp, *, begun: bool) -> None:
    """By default uvicorn cancels such a request with an answer of its own, and logs a stack for each."""
    tone = acme.engine_clients["tone"]
    tone.gate.clear()
    tone.gated_from = int(begun)
    call = Call(acme, {"model": "tts-1", "voice": "alloy", "input": SENTENCES, "response_format": "pcm"})
    running = asyncio.create_task(call.run())
    await until(lambda: len(call.parts) > 0 if begun else len(tone.spoken) > 0)
    running.cancel()
    await running
    if begun:
        assert (call.status, call.has_ended()) == (200, False), "cut, so that nobody takes it for the whole"
    else:
        (body,) = call.parts
        error = json.loads(body)["error"]
        assert (call.status, error["code"], error["type"]) == (503, "draining", "server_error")
        assert b"retry-after" in call.headers
    assert acme.application.server.snapshot is not None
    assert acme.application.server.snapshot.requests == 0


async def test_an_engine_in_a_crash_loop_is_not_ready(acme: RunningApp) -> None:
    acme.engine_clients["bass"].ready = False
    assert refusal(await acme.client.get("/readyz")) == (503, None, "overloaded")


async def test_metrics_count_under_configured_names_only(acme: RunningApp) -> None:
    await acme.speech()
    await acme.speech(model="my-secret-model")
    await acme.speech(voice="my-secret-voice")
    text = generate_latest(acme.application.server.metrics.registry).decode()
    assert 'tts_requests_total{model="tone",status_code="200",tenant="team-acme.acme",voice="ann"} 1.0' in text
    assert 'tts_requests_total{model="",status_code="404",tenant="team-acme.acme",voice=""} 1.0' in text
    assert 'tts_requests_total{model="tone",status_code="400",tenant="team-acme.acme",voice=""} 1.0' in text
    assert "my-secret" not in text
    assert 'tts_audio_seconds_total{model="tone",tenant="team-acme.acme"} 0.1' in text
    assert 'tts_request_latency_seconds_bucket{le="2.0"' in text
    assert 'tts_request_latency_seconds_bucket{le="3.0"' in text
    assert 'tts_inflight_requests{tenant="team-acme.acme"} 0.0' in text


async def test_an_unforeseen_error_is_a_500_that_says_nothing(
    acme: RunningApp, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(utterance: int, part: int) -> None:
        raise ValueError("the caller said: secret words")

    acme.engine_clients["tone"].fail = fail
    reply = await acme.speech(input="secret words")
    assert refusal(reply) == (500, None, "internal_error")
    assert "secret" not in reply.text
    assert json.loads(reply.text)["error"]["type"] == "server_error"
