"""Limits as callers see them: headers, 429s, `/v1/usage`, and a ledger that agrees with what was sent."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import generate_latest

from tests.support.redis_server import CounterStore, counter_store
from tests.support.replies import PCM_BYTES_A_SECOND, UID, dies, refusal, usage
from tests.support.server_app import AT_ONCE, SENTENCES, Call, RunningApp, ToneClient, config, running_app, until
from tests.support.timeouts import HANG_SECONDS
from tts_server.config.redis_acl import rules
from tts_server.config.schema import AuthConfig, AuthMode, QuotaConfig, RedisConfig
from tts_server.http import speech_response as reply_module

LONG = {"model": "tts-1", "voice": "alloy", "input": SENTENCES, "response_format": "pcm"}
UTTERANCE_BYTES = PCM_BYTES_A_SECOND // 10


@pytest.fixture(scope="module")
def running() -> Iterator[CounterStore]:
    with counter_store() as store:
        yield store


@pytest.fixture(params=["alone", "with a store"])
def settings(request: pytest.FixtureRequest, running: CounterStore) -> dict[str, Any]:
    if request.param == "alone":
        return {}
    running.run("FLUSHALL")
    return {"redis": RedisConfig(url=running.url), "tenant_uid": UID}


def metric(acme: RunningApp, name: str, **labels: str) -> float:
    """Summed over the labels that are not named."""
    registry = acme.application.server.metrics.registry
    samples = [sample for family in registry.collect() for sample in family.samples if sample.name == name]
    return sum(one.value for one in samples if labels.items() <= one.labels.items())


async def test_every_answer_says_what_is_left_of_every_limit(tmp_path: Path, settings: dict[str, Any]) -> None:
    quota = QuotaConfig(requests_per_minute=5, concurrent_requests=3, requests_per_day=50, characters_per_day=100)
    async with running_app(config(tmp_path, **settings), quota) as acme:
        headers = (await acme.speech(input="Hello.")).headers
        assert headers["ratelimit-policy"] == (
            '"requestsPerMinute";q=5;w=60, "concurrentRequests";q=3;qu="concurrent-requests", '
            '"requestsPerDay";q=50;w=86400, "charactersPerDay";q=100;w=86400;qu="characters"'
        )
        left = dict(one.split(";t=")[0].split(";r=") for one in headers["ratelimit"].split(", "))
        assert left == {
            '"requestsPerMinute"': "4", '"concurrentRequests"': "2", '"requestsPerDay"': "49",
            '"charactersPerDay"': "94",
        }  # fmt: skip
        assert headers["x-ratelimit-remaining-requests"] == "4"
        native = await acme.synthesize(text="Hi.")
        assert native.headers["ratelimit-policy"] == headers["ratelimit-policy"]
        for name, value in {"requestsPerMinute": 3, "requestsPerDay": 48, "charactersPerDay": 91}.items():
            assert metric(acme, "tts_quota_remaining", quota=name) == value
        for name, value in {"requestsPerMinute": 5, "requestsPerDay": 50, "charactersPerDay": 100}.items():
            assert metric(acme, "tts_quota_limit", quota=name) == value


async def test_metrics_show_what_is_left_while_nobody_asks(tmp_path: Path, settings: dict[str, Any]) -> None:
    async with running_app(config(tmp_path, **settings), QuotaConfig(concurrent_requests=2)) as acme:
        await acme.speech()
        assert metric(acme, "tts_quota_remaining", quota="concurrentRequests") == 1
        await acme.application.show_limits()
        assert metric(acme, "tts_quota_remaining", quota="concurrentRequests") == 2


async def test_a_limit_that_is_no_more_is_shown_no_more(tmp_path: Path, settings: dict[str, Any]) -> None:
    async with running_app(
        config(tmp_path, **settings), QuotaConfig(requests_per_day=1, characters_per_day=50)
    ) as acme:
        assert (await acme.speech(input="Hello.")).status_code == 200
        acme.application.server.limit(QuotaConfig(characters_per_day=50))
        assert (await acme.speech(input="Hello.")).status_code == 200
        await acme.application.show_limits()
        shown = generate_latest(acme.application.server.metrics.registry).decode()
        assert "requestsPerDay" not in shown
        assert metric(acme, "tts_quota_remaining", quota="charactersPerDay") == 38


async def test_without_limits_an_answer_says_nothing_about_them(tmp_path: Path) -> None:
    async with running_app(config(tmp_path)) as acme:
        assert not [name for name in (await acme.speech()).headers if "ratelimit" in name]


async def test_a_spent_minute_says_when_to_come_back(tmp_path: Path, settings: dict[str, Any]) -> None:
    async with running_app(config(tmp_path, **settings), QuotaConfig(requests_per_minute=1)) as acme:
        await acme.speech()
        refused = await acme.speech()
        assert refusal(refused) == (429, None, "rate_limit_exceeded")
        seconds = int(refused.headers["retry-after"])
        assert 55 <= seconds <= 60
        assert refused.headers["ratelimit"] == f'"requestsPerMinute";r=0;t={seconds}'
        assert refused.headers["ratelimit-policy"] == '"requestsPerMinute";q=1;w=60'
        assert "x-should-retry" not in refused.headers
        error = refused.json()["error"]
        assert error["limit"] == "requestsPerMinute"
        resets_at = datetime.fromisoformat(error["resets_at"])
        assert 50 <= (resets_at - datetime.now(UTC)).total_seconds() <= 61
        assert metric(acme, "tts_quota_refusals_total", quota="requestsPerMinute") == 1


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        ({"requests_per_day": 1}, "requestsPerDay"),
        ({"characters_per_day": 10}, "charactersPerDay"),
        ({"audio_seconds_per_day": 1}, "audioSecondsPerDay"),
    ],
)
async def test_a_spent_day_tells_clients_not_to_try_again(
    tmp_path: Path, settings: dict[str, Any], limits: dict[str, int], limit: str
) -> None:
    async with running_app(config(tmp_path, **settings), QuotaConfig(**limits)) as acme:
        assert (await acme.speech(input="Hello.")).status_code == 200
        for _ in range(20):
            refused = await acme.speech(input="Hello. " * 2)
            if refused.status_code == 429:
                break
        assert refusal(refused) == (429, None, "insufficient_quota")
        assert refused.headers["x-should-retry"] == "false"
        assert refused.json()["error"]["limit"] == limit
        assert refused.json()["error"]["resets_at"][11:] == "00:00:00+00:00"
        assert int(refused.headers["retry-after"]) <= 86_400


async def test_a_refusal_says_what_is_left_as_usage_does(tmp_path: Path, settings: dict[str, Any]) -> None:
    async with running_app(config(tmp_path, **settings), QuotaConfig(characters_per_day=10)) as acme:
        await acme.speech(input="Hello.")
        refused = await acme.speech(input="Hello.")
        assert refusal(refused) == (429, None, "insufficient_quota")
        assert refused.headers["ratelimit"].startswith('"charactersPerDay";r=4;t=')
        assert (await usage(acme))["limits"]["charactersPerDay"]["remaining"] == 4
        assert (await acme.speech(input="Hey.")).status_code == 200


async def test_a_text_that_is_too_long_is_refused_before_anything_is_counted(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    quota = QuotaConfig(max_text_characters=10, requests_per_minute=5, characters_per_day=100)
    async with running_app(config(tmp_path, **settings), quota) as acme:
        assert refusal(await acme.speech(input="Hello there.")) == (400, "input", "text_rejected")
        left = {name: one["remaining"] for name, one in (await usage(acme))["limits"].items()}
        assert left == {"requestsPerMinute": 5, "charactersPerDay": 100}


async def test_each_client_has_its_own_limit_beside_the_tenants(tmp_path: Path, settings: dict[str, Any]) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    for name in ("ann", "bob"):
        (keys / name).write_text(hashlib.sha256(name.encode()).hexdigest())
    auth = AuthConfig(modes=(AuthMode.API_KEY,), keys_directory=keys)
    quota = QuotaConfig(requests_per_minute=4, per_client_requests_per_minute=2)
    async with running_app(config(tmp_path, auth=auth, **settings), quota) as acme:

        async def ask(name: str) -> httpx.Response:
            return await acme.client.post(
                "/v1/tts/synthesize", json={"text": "Hi."}, headers={"Authorization": f"Bearer {name}"}
            )

        assert [(await ask("ann")).status_code for _ in range(3)] == [200, 200, 429]
        assert (await ask("ann")).json()["error"]["limit"] == "perClientRequestsPerMinute"
        assert [(await ask("bob")).status_code for _ in range(2)] == [200, 200]
        assert (await acme.client.get("/v1/usage")).status_code == 401, "usage needs a key, too"
        reply = await acme.client.get("/v1/usage", headers={"Authorization": "Bearer bob"})
        assert reply.json()["limits"]["perClientRequestsPerMinute"]["remaining"] == 0


async def test_without_keys_a_client_is_its_address(tmp_path: Path) -> None:
    async with running_app(config(tmp_path), QuotaConfig(per_client_requests_per_minute=1)) as acme:
        for address, status in (("10.0.0.1", 200), ("10.0.0.2", 200), ("10.0.0.1", 429)):
            transport = httpx.ASGITransport(acme.application.asgi, client=(address, 1234))
            async with httpx.AsyncClient(transport=transport, base_url="http://acme.test") as client:
                reply = await client.post("/v1/tts/synthesize", json={"text": "Hi."})
            assert reply.status_code == status


async def test_no_more_are_served_at_a_time_than_are_allowed(tmp_path: Path, settings: dict[str, Any]) -> None:
    async with running_app(config(tmp_path, **settings), QuotaConfig(concurrent_requests=2)) as acme:
        tone = acme.engine_clients["tone"]
        tone.gate.clear()
        waiting = [asyncio.create_task(acme.speech()) for _ in range(2)]
        await until(lambda: len(tone.spoken) == 2)
        refused = await acme.speech()
        assert refusal(refused) == (429, None, "rate_limit_exceeded")
        assert refused.json()["error"]["limit"] == "concurrentRequests"
        tone.gate.set()
        assert [reply.status_code for reply in await asyncio.gather(*waiting)] == [200, 200]
        assert (await acme.speech()).status_code == 200


async def test_usage_says_what_is_left_and_what_was_served(tmp_path: Path, settings: dict[str, Any]) -> None:
    quota = QuotaConfig(requests_per_minute=10, audio_seconds_per_day=100)
    async with running_app(config(tmp_path, **settings), quota) as acme:
        await acme.speech(input="Hello.")
        await acme.synthesize(text="Hi there.", options={"precision": "int8"}, voice="ann", model="tone")
        await acme.synthesize(text="你好。", voice="mei")
        assert (await acme.speech(voice="zoe")).status_code == 400
        found = await usage(acme)
        assert found["object"] == "usage"
        assert found["tenant"] == "team-acme.acme"
        assert found["complete"] is True
        assert found["day"] == datetime.now(UTC).date().isoformat()
        line = {"requests": 1, "audio_seconds": 0.1, "cached": 0, "degraded": 0}
        assert found["models"] == [
            {"model": "bass", "precision": "fp32", "characters": 3, **line},
            {"model": "tone", "precision": "fp32", "characters": 6, **line},
            {"model": "tone", "precision": "int8", "characters": 9, **line},
        ]
        assert found["total"] == {
            "requests": 3, "characters": 18, "audio_seconds": 0.3, "cached": 0, "degraded": 0,
        }  # fmt: skip
        assert found["limits"]["requestsPerMinute"]["remaining"] == 7
        assert found["limits"]["audioSecondsPerDay"]["remaining"] == 99
        assert (await usage(acme, day="2026-01-31"))["models"] == []
        for bad in ("yesterday", "2026-13-01", ""):
            assert refusal(await acme.client.get("/v1/usage", params={"day": bad})) == (400, "day", "invalid_parameter")


def hung_up_after(parts: int) -> Any:
    async def go(acme: RunningApp) -> None:
        call = Call(acme, LONG | {"input": "One more. " * 60, "response_format": "pcm"})
        running = asyncio.create_task(call.run())
        await until(lambda: len(call.parts) >= parts)
        call.gone.set()
        await running

    return go


async def engine_dies_before_the_first_sound(acme: RunningApp) -> None:
    acme.engine_clients["tone"].fail = dies(0)
    assert (await acme.speech()).status_code == 502


async def engine_dies_in_the_middle(acme: RunningApp) -> None:
    tone = acme.engine_clients["tone"]
    tone.fail, tone.gated_from = dies(1), 1
    tone.gate.clear()
    call = Call(acme, LONG | {"response_format": "pcm"})
    running = asyncio.create_task(call.run())
    await until(lambda: call.parts)  # what fails before that is an error of its own
    tone.gate.set()
    await running
    assert not call.has_ended()


async def engine_dies_before_a_link(acme: RunningApp) -> None:
    acme.engine_clients["tone"].fail = dies(1)
    assert (await acme.synthesize(text=SENTENCES)).status_code == 502


async def caller_leaves_before_the_first_sound(acme: RunningApp) -> None:
    tone = acme.engine_clients["tone"]
    tone.gate.clear()
    call = Call(acme, LONG)
    running = asyncio.create_task(call.run())
    await until(lambda: tone.spoken)
    call.gone.set()
    await running
    tone.gate.set()
    assert call.sent == []


async def refused(acme: RunningApp) -> None:
    assert (await acme.speech(voice="zoe")).status_code == 400
    assert (await acme.synthesize(text="<lang=de>unclosed")).status_code == 400


async def all_goes_well(acme: RunningApp) -> None:
    for format_ in ("wav", "mp3", "opus", "flac"):
        assert (await acme.speech(response_format=format_, input="One more. " * 3)).status_code == 200
    assert (await acme.speech(stream_format="sse", input=SENTENCES)).status_code == 200
    assert (await acme.synthesize()).status_code == 200


STORIES = {
    "all goes well": all_goes_well,
    "refused": refused,
    "the engine dies at once": engine_dies_before_the_first_sound,
    "the engine dies in the middle": engine_dies_in_the_middle,
    "the engine dies before a link": engine_dies_before_a_link,
    "the caller leaves early": caller_leaves_before_the_first_sound,
    "the caller leaves after the first part": hung_up_after(1),
    "the caller leaves late": hung_up_after(4),
}


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("loss", ["nothing", "hangs", "is killed", "is flushed"])
async def test_ledger_limits_metrics_and_bytes_agree(
    tmp_path: Path, running: CounterStore, story: str, loss: str
) -> None:
    """Whatever becomes of the request, of its engine, its caller, and of the store while it is served."""
    running.run("FLUSHALL")
    quota = QuotaConfig(requests_per_day=1000, characters_per_day=100_000, audio_seconds_per_day=1000)
    redis = RedisConfig(url=running.url)
    tone = ToneClient()
    async with running_app(config(tmp_path, redis=redis, tenant_uid=UID), quota, tone=tone) as acme:
        assert (await acme.speech(input="Hello.", response_format="pcm")).status_code == 200
        first = len(tone.spoken)
        tone.fail = lambda number, part: None
        async with lost_when(tone, first, loss, running):
            tone.spoken.clear()
            await STORIES[story](acme)
        await until_up(acme)
        found = await usage(acme)
        server = acme.application.server
        total = found["total"]
        assert found["complete"]
        assert total["requests"] == metric(acme, "tts_first_byte_seconds_count")
        assert total["audio_seconds"] == pytest.approx(metric(acme, "tts_audio_seconds_total"), abs=1e-5)
        left = {name: one["limit"] - one["remaining"] for name, one in found["limits"].items()}
        assert left["requestsPerDay"] == total["requests"]
        assert left["charactersPerDay"] == total["characters"]
        assert left["audioSecondsPerDay"] == -(-total["audio_seconds"] // 1)
        assert server.snapshot is not None
        assert server.snapshot.requests == 0
        assert running.run("ZCARD", f"tts:{{{UID}}}:quota:leases") == 0
        assert running.run("HLEN", f"tts:{{{UID}}}:quota:open") == 0


@asynccontextmanager
async def lost_when(tone: ToneClient, first: int, loss: str, store: CounterStore) -> AsyncIterator[None]:
    """The store is lost once the engine speaks, and is back at the end."""
    lose = {"nothing": lambda: None, "hangs": store.freeze, "is killed": store.kill, "is flushed": flush(store)}[loss]
    back = {"hangs": store.thaw, "is killed": store.start}.get(loss, lambda: None)
    spoken = tone.speak
    is_lost = False

    def speak(utterance: Any, params: Any = AT_ONCE) -> Any:
        nonlocal is_lost
        if not is_lost:
            is_lost = True
            lose()
        return spoken(utterance, params)

    tone.speak = speak  # type: ignore[method-assign]
    try:
        yield
    finally:
        if is_lost:
            back()


def flush(store: CounterStore) -> Any:
    return lambda: store.run("FLUSHALL")


async def until_up(acme: RunningApp) -> None:
    """The store is found, and knows all."""
    guard = acme.application._guard
    assert guard is not None
    async with asyncio.timeout(HANG_SECONDS):
        await guard._shared.probe(UID) if guard._is_available else None
        while not guard._is_available or guard._undelivered or guard._uncharged:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
    await guard._shared.maintain()


@pytest.mark.parametrize("parts", [1, 3, 7])
@pytest.mark.parametrize("ending", ["the caller leaves", "the engine dies", "the caller stops reading"])
async def test_the_ledger_holds_the_bytes_that_had_left(
    tmp_path: Path, settings: dict[str, Any], parts: int, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reply_module, "SEND_SECONDS", 0.05)
    pcm_as_spoken = ToneClient(sample_rate_hz=24_000)
    quota = QuotaConfig(audio_seconds_per_day=1000)
    async with running_app(config(tmp_path, **settings), quota, tone=pcm_as_spoken) as acme:
        tone = acme.engine_clients["tone"]
        tone.gated_from = parts
        tone.gate.clear()
        call = Call(acme, LONG | {"input": "One more. " * 60})
        running = asyncio.create_task(call.run())
        await until(lambda: len(tone.spoken) > parts and len(b"".join(call.parts)) > (parts - 0.5) * UTTERANCE_BYTES)
        if ending == "the caller leaves":
            call.gone.set()
        elif ending == "the engine dies":
            tone.fail = dies(0)
            tone.gate.set()
        else:
            call.stalled.clear()
            tone.gate.set()
        await running
        sent_seconds = len(b"".join(call.parts)) / PCM_BYTES_A_SECOND
        found = await usage(acme)
        assert found["total"]["audio_seconds"] == pytest.approx(sent_seconds)
        assert found["limits"]["audioSecondsPerDay"]["remaining"] == 999


async def test_metrics_say_whether_the_store_answers(tmp_path: Path, running: CounterStore) -> None:
    quota = QuotaConfig(requests_per_minute=10)
    async with running_app(config(tmp_path, redis=RedisConfig(url=running.url), tenant_uid=UID), quota) as acme:
        assert metric(acme, "tts_quota_store_up") == 1
        running.freeze()
        try:
            assert (await acme.speech()).status_code == 200
            assert metric(acme, "tts_quota_store_up") == 0
        finally:
            running.thaw()
        await until_up(acme)
        assert metric(acme, "tts_quota_store_up") == 1
    async with running_app(config(tmp_path)) as alone:
        assert b"tts_quota_store_up{" not in generate_latest(alone.application.server.metrics.registry)


async def test_an_acl_user_of_the_tenants_keys_and_few_commands_is_enough(tmp_path: Path) -> None:
    with counter_store() as store:
        store.run("ACL", "SETUSER", "acme", "on", ">right", *rules(UID))
        password = tmp_path / "password"
        password.write_text("right")
        redis = RedisConfig(url=store.url, username="acme", password_file=password)
        quota = QuotaConfig(requests_per_minute=9, per_client_requests_per_minute=9, audio_seconds_per_day=9)
        async with running_app(config(tmp_path, redis=redis, tenant_uid=UID), quota) as acme:
            assert (await acme.speech()).status_code == 200
            assert (await acme.speech(voice="zoe")).status_code == 400
            await acme.application.show_limits()
            guard = acme.application._guard
            assert guard is not None
            await guard._shared.maintain()
            assert (await usage(acme))["total"]["requests"] == 1
            assert metric(acme, "tts_quota_store_up") == 1
            assert store.run("ACL", "LOG") == []


async def test_a_server_starts_without_its_store_and_with_a_wrong_password(tmp_path: Path) -> None:
    with counter_store(requirepass="right") as store:
        password = tmp_path / "password"
        password.write_text("wrong\n")
        redis = RedisConfig(url=store.url, username="default", password_file=password)
        async with running_app(
            config(tmp_path, redis=redis, tenant_uid=UID), QuotaConfig(requests_per_minute=9)
        ) as acme:
            assert (await acme.speech()).status_code == 200
            assert metric(acme, "tts_quota_store_up") == 0
            password.write_text("right\n")
            await until_up(acme)
            assert (await usage(acme))["total"]["requests"] == 1


async def test_a_server_starts_without_its_stores_address_and_counts_together_once_it_is_there(tmp_path: Path) -> None:
    file = tmp_path / "url"
    redis = RedisConfig(url_file=file, ca_file=tmp_path / "ca.crt")
    with counter_store() as store:
        async with running_app(
            config(tmp_path, redis=redis, tenant_uid=UID), QuotaConfig(requests_per_minute=9)
        ) as acme:
            assert (await acme.client.get("/readyz")).status_code == 200
            assert (await acme.speech()).status_code == 200
            assert metric(acme, "tts_quota_store_up") == 0
            file.write_text(store.url)
            await until_up(acme)
            assert (await usage(acme))["total"]["requests"] == 1


async def test_a_member_leaves_the_store_alone(tmp_path: Path) -> None:
    """Its pod may not reach it, and it counts nobody: its metric must not say that a store is lost."""
    (tmp_path / "token").write_text("internal")
    auth = AuthConfig(modes=(AuthMode.API_KEY,), internal_directory=tmp_path)
    redis = RedisConfig(url="redis://127.0.0.1:1")
    async with running_app(config(tmp_path, role="Member", auth=auth, redis=redis, tenant_uid=UID)) as member:
        await member.application.show_limits()
        assert metric(member, "tts_quota_store_up") == 1
