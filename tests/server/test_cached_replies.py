"""Callers of a server with a cache get hits and shared syntheses; some replies are never kept."""

import asyncio
import base64
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from tests.support.redis_server import counter_store
from tests.support.replies import LONG, UTTERANCE_BYTES, cut_in_the_middle, events, fails, wav_samples
from tests.support.s3_server import ObjectStore
from tests.support.server_app import SENTENCES, Call, RunningApp, config, running_app, until
from tts_server.cache.tiered import TieredCache
from tts_server.config.schema import (
    CacheConfig,
    FallbackConfig,
    ModelConfig,
    QuotaConfig,
    RedisConfig,
    StorageConfig,
    VoiceConfig,
)
from tts_server.pipeline import pipeline
from tts_server.storage.s3 import CALL_SECONDS
from tts_server.synthesis.sample_stream import SampleStream

CACHE = CacheConfig(enabled=True)


@pytest.fixture
async def acme(tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with running_app(config(tmp_path, cache=CACHE)) as running:
        yield running


def memory_of(acme: RunningApp) -> Any:
    cache = acme.application.server.cache
    assert isinstance(cache, TieredCache)
    return cache.memory


async def test_a_second_request_is_answered_without_an_engine(acme: RunningApp) -> None:
    first = await acme.speech(input=SENTENCES)
    second = await acme.speech(input=SENTENCES)
    assert (first.headers["x-tts-cache"], second.headers["x-tts-cache"]) == ("miss", "hit")
    assert acme.spoken == 3
    assert int(second.headers["content-length"]) == len(second.content) == 44 + 3 * UTTERANCE_BYTES
    assert wav_samples(second.content) * 2 == 3 * UTTERANCE_BYTES, "its length is known now"
    assert second.content[44:] == first.content[44:]
    for name in ("content-type", "x-tts-engine", "x-tts-status"):
        assert second.headers[name] == first.headers[name]


@pytest.mark.parametrize("format_", ["mp3", "opus", "flac", "pcm", "wav"])
async def test_a_hit_is_the_same_bytes_in_every_format(acme: RunningApp, format_: str) -> None:
    first = await acme.speech(response_format=format_)
    second = await acme.speech(response_format=format_)
    assert second.headers["x-tts-cache"] == "hit"
    assert second.content == first.content


async def test_the_native_answer_says_whether_it_was_kept(acme: RunningApp) -> None:
    first, second = [await acme.synthesize(format="wav") for _ in range(2)]
    assert (first.json()["cached"], second.json()["cached"]) == (False, True)
    assert (first.headers["x-tts-cache"], second.headers["x-tts-cache"]) == ("miss", "hit")
    assert second.json()["duration"] == first.json()["duration"] == pytest.approx(0.1)
    links = [said.json()["audio_url"] for said in (first, second)]
    assert links[0] != links[1], "each caller's link is its own"
    contents = [(await acme.client.get(link)).content for link in links]
    assert contents[0] == contents[1]


async def test_events_come_from_the_cache_too(acme: RunningApp) -> None:
    await acme.speech(**LONG)
    reply = await acme.speech(**LONG, stream_format="sse")
    assert reply.headers["x-tts-cache"] == "hit"
    said = events(reply)
    assert [event["type"] for event in said] == ["speech.audio.delta", "speech.audio.done"]
    assert base64.b64decode(said[0]["audio"]) == (await acme.speech(**LONG)).content
    assert said[1]["usage"]["audio_seconds"] == pytest.approx(0.3)


async def test_everything_that_changes_the_sound_misses(acme: RunningApp) -> None:
    same: dict[str, Any] = {"text": "Hello.", "voice": "ann", "format": "wav"}
    await acme.synthesize(**same)
    assert (await acme.synthesize(**same)).json()["cached"]
    for change in (
        {"text": "Hello!"}, {"voice": "bob"}, {"language": "de"}, {"speed": 1.5}, {"format": "mp3"},
        {"sample_rate": 48_000}, {"options": {"precision": "int8"}}, {"text": "<lang=zh>Hello.</lang>"},
    ):  # fmt: skip
        assert not (await acme.synthesize(**same | change)).json()["cached"], change


async def test_what_does_not_change_the_sound_hits(acme: RunningApp) -> None:
    await acme.speech()
    for same in ({"voice": "ann"}, {"model": "tone"}, {"speed": 1.0}, {"input": "  Hello. "}):
        assert (await acme.speech(**same)).headers["x-tts-cache"] == "hit", same


async def test_other_weights_are_another_sound(acme: RunningApp) -> None:
    await acme.speech()
    server = acme.application.server
    assert server.snapshot is not None
    was = server.snapshot.config
    tone = ModelConfig(
        name="tone", languages=("en", "de"), voices=(VoiceConfig(name="ann"), VoiceConfig(name="bob")),
        weights_digest="sha256:1",
    )  # fmt: skip
    await server.show(was.model_copy(update={"models": (tone, was.models[1])}))
    assert (await acme.speech()).headers["x-tts-cache"] == "miss"
    await server.show(was)
    assert (await acme.speech()).headers["x-tts-cache"] == "hit", "and the old ones come back with their audio"


async def test_a_namesake_gets_nothing_of_the_tenant_before_it(tmp_path: Path) -> None:
    for uid in ("uid-1", "uid-2"):
        # In one folder, with nothing kept in memory: what is found there is found by its key alone.
        cache = CacheConfig(enabled=True, max_entries=1, small_bytes=0)
        async with running_app(config(tmp_path, cache=cache, tenant_uid=uid)) as acme:
            assert (await acme.speech()).headers["x-tts-cache"] == "miss"
            assert isinstance(acme.application.server.cache, TieredCache)
            await acme.application.server.cache.written()
    async with running_app(config(tmp_path, cache=cache, tenant_uid="uid-1")) as acme:
        assert (await acme.speech()).headers["x-tts-cache"] == "hit", "from the folder"


async def test_nothing_is_kept_where_nobody_asked_for_it(tmp_path: Path) -> None:
    async with running_app(config(tmp_path)) as acme:
        replies = [await acme.speech() for _ in range(2)]
        assert all("x-tts-cache" not in reply.headers for reply in replies)
        assert acme.spoken == 2


async def test_a_reply_that_broke_off_is_not_kept(acme: RunningApp) -> None:
    await cut_in_the_middle(acme, LONG)
    assert len(memory_of(acme)) == 0
    assert (await acme.speech(**LONG)).headers["x-tts-cache"] == "miss"


async def test_a_reply_whose_caller_left_is_not_kept(acme: RunningApp) -> None:
    tone = acme.engine_clients["tone"]
    tone.gated_from = 1
    tone.gate.clear()
    call = Call(acme, LONG)
    running = asyncio.create_task(call.run())
    await until(lambda: call.parts)
    call.gone.set()
    await running
    assert acme.application.server.snapshot is not None
    assert len(acme.application.server.snapshot.coalescer) == 0
    assert len(memory_of(acme)) == 0


async def test_degraded_audio_is_not_kept(acme: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    class Degraded(SampleStream):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.fallback_model, self.fallback_reason = "bass", "engine_timeout"

    monkeypatch.setattr(pipeline, "SampleStream", Degraded)
    for _ in range(2):
        assert (await acme.speech()).headers["x-tts-cache"] == "miss"
    assert len(memory_of(acme)) == 0


async def test_what_is_asked_for_at_once_is_spoken_once_and_counted_for_each(tmp_path: Path) -> None:
    async with running_app(config(tmp_path, cache=CACHE), QuotaConfig(requests_per_minute=10)) as acme:
        tone = acme.engine_clients["tone"]
        tone.gated_from = 1
        tone.gate.clear()
        calls = [Call(acme, LONG) for _ in range(10)]
        running = [asyncio.create_task(call.run()) for call in calls]
        await until(lambda: all(call.parts for call in calls))
        assert not any(call.has_ended() for call in calls), "they hear it as it comes"
        tone.gate.set()
        await asyncio.gather(*running)
        assert len(tone.spoken) == 3
        assert all(call.has_ended() for call in calls)
        assert len({b"".join(call.parts) for call in calls}) == 1
        assert {call.headers[b"x-tts-cache"] for call in calls} == {b"miss"}
        assert (await acme.speech(**LONG)).status_code == 429, "each paid"
        text = generate_latest(acme.application.server.metrics.registry).decode()
        assert 'tts_cache_requests_total{outcome="miss"} 1.0' in text
        assert 'tts_cache_requests_total{outcome="shared"} 9.0' in text
        sent = re.search(r'tts_audio_seconds_total{model="tone",tenant="team-acme.acme"} (\S+)', text)
        assert sent is not None
        assert float(sent[1]) == pytest.approx(3.0)


async def test_a_shared_failure_is_an_error_for_each_that_heard_nothing(acme: RunningApp) -> None:
    tone = acme.engine_clients["tone"]
    tone.fail = fails(0, part=0)
    tone.gate.clear()
    asking = [asyncio.create_task(acme.speech()) for _ in range(5)]
    shared = acme.application.server.metrics.cache_requests.labels("shared")
    await until(lambda: shared._value.get() == 4)
    tone.gate.set()
    replies = await asyncio.gather(*asking)
    assert [reply.status_code for reply in replies] == [502] * 5
    assert len({json.loads(reply.text)["error"]["request_id"] for reply in replies}) == 5
    assert len(acme.engine_clients["tone"].spoken) == 1
    assert (await acme.speech()).status_code == 200


async def test_one_caller_that_stalls_or_leaves_is_nothing_to_the_others(acme: RunningApp) -> None:
    tone = acme.engine_clients["tone"]
    tone.gated_from = 1
    tone.gate.clear()
    stalled, leaves, stays = (Call(acme, LONG) for _ in range(3))
    running = [asyncio.create_task(call.run()) for call in (stalled, leaves, stays)]
    await until(lambda: all(call.parts for call in (stalled, leaves, stays)))
    stalled.stalled.clear()
    leaves.gone.set()
    await running[1]
    tone.gate.set()
    await running[2]
    assert stays.has_ended()
    assert not stalled.has_ended()
    stalled.stalled.set()
    await running[0]
    assert b"".join(stalled.parts) == b"".join(stays.parts)
    assert len(tone.spoken) == 3


async def test_metrics_tell_what_is_kept(acme: RunningApp) -> None:
    reply = await acme.speech()
    await acme.speech()
    text = generate_latest(acme.application.server.metrics.registry).decode()
    assert f"tts_cache_bytes {float(len(reply.content))}" in text
    assert "tts_cache_entries 1.0" in text
    assert 'tts_cache_requests_total{outcome="hit"} 1.0' in text
    assert 'tts_request_latency_seconds_count{model="tone",tenant="team-acme.acme"} 2.0' in text
    assert 'tts_first_audio_seconds_count{model="tone",tenant="team-acme.acme"} 1.0' in text, "no engine spoke twice"
    assert "Hello" not in text


async def test_a_cache_is_turned_on_and_off_while_the_server_runs(tmp_path: Path) -> None:
    file = tmp_path / "server.json"
    off = config(tmp_path)
    file.write_text(off.model_dump_json(by_alias=True))
    async with running_app(off, config_file=file) as acme:
        for changed, seen in ((off.model_copy(update={"cache": CACHE}), ["miss", "hit"]), (off, [None, None])):
            file.write_text(changed.model_dump_json(by_alias=True))
            await acme.application.watcher.poll()
            assert [(await acme.speech()).headers.get("x-tts-cache") for _ in range(2)] == seen


async def test_a_cache_that_is_away_costs_callers_a_moment_once(object_store: ObjectStore, tmp_path: Path) -> None:
    with counter_store() as valkey:
        storage = StorageConfig(directory=tmp_path / "audio", s3=object_store.bucket())
        cache = CacheConfig(enabled=True, small_bytes=1000)
        redis = RedisConfig(url=valkey.url)
        async with running_app(config(tmp_path, storage=storage, cache=cache, redis=redis)) as acme:
            await acme.speech(input="One.")
            valkey.freeze()
            with object_store.hung():
                times = []
                for text in ("Two.", "Three.", "Four.", "Five.", "Six.", "Seven.", "Two."):
                    begun = time.monotonic()
                    reply = await acme.speech(input=text)
                    times.append(time.monotonic() - begun)
                    assert reply.status_code == 200
                assert reply.headers["x-tts-cache"] == "hit", "memory is not away"
                assert times[0] < CALL_SECONDS, "nobody waits for the object store"
                assert min(times[1:6]) < 0.2, "nor again for Redis; on a busy machine one may be slow all the same"
            valkey.thaw()


async def test_replicas_share_what_is_cached(object_store: ObjectStore, tmp_path: Path) -> None:
    with counter_store() as valkey:
        storage = StorageConfig(directory=tmp_path / "audio", s3=object_store.bucket())
        cache = CacheConfig(enabled=True, small_bytes=5000)
        shared = config(tmp_path, storage=storage, cache=cache, redis=RedisConfig(url=valkey.url), tenant_uid="uid-1")
        async with running_app(shared) as one, running_app(shared) as other:
            for text in ("Hello.", SENTENCES):  # 3,244 bytes in Redis, and 9,644 in the store
                spoken = await one.speech(input=text)
                assert isinstance(one.application.server.cache, TieredCache)
                await one.application.server.cache.written()
                again = await other.speech(input=text)
                assert again.headers["x-tts-cache"] == "hit"
                assert again.content[44:] == spoken.content[44:]
            assert other.spoken == 0


async def test_a_hit_pays_its_request_and_characters_and_no_audio(tmp_path: Path) -> None:
    quota = QuotaConfig(requests_per_day=10, characters_per_day=100, audio_seconds_per_day=100)
    async with running_app(config(tmp_path, cache=CACHE), quota) as acme:
        for _ in range(3):
            await acme.speech(input="Hello there.")
        used = (await acme.client.get("/v1/usage")).json()
        assert (used["total"]["requests"], used["total"]["characters"], used["total"]["cached"]) == (3, 36, 2)
        assert used["limits"]["requestsPerDay"]["remaining"] == 7
        assert used["limits"]["charactersPerDay"]["remaining"] == 64
        assert used["limits"]["audioSecondsPerDay"]["remaining"] == 99, "0.1 seconds, once"


@pytest.fixture
async def covered(tmp_path: Path) -> AsyncIterator[RunningApp]:
    """A server whose model `tone` falls back to `bass`."""
    tone, bass = config(tmp_path).models
    models = (tone.model_copy(update={"fallback": FallbackConfig(model="bass")}), bass)
    async with running_app(config(tmp_path, cache=CACHE, models=models)) as running:
        yield running


@pytest.mark.parametrize("format_", ["wav", "flac"])
async def test_another_models_audio_is_shared_while_it_lasts_and_never_kept(covered: RunningApp, format_: str) -> None:
    tone, bass = covered.engine_clients["tone"], covered.engine_clients["bass"]
    tone.fail = fails(0, part=0)
    bass.gate.clear()
    asking = [asyncio.create_task(covered.speech(input=SENTENCES, response_format=format_)) for _ in range(3)]
    shared = covered.application.server.metrics.cache_requests.labels("shared")
    await until(lambda: shared._value.get() == 2)
    bass.gate.set()
    replies = await asyncio.gather(*asking)
    assert {(reply.status_code, reply.headers["x-tts-status"]) for reply in replies} == {(200, "degraded")}
    assert {reply.headers["x-tts-engine"] for reply in replies} == {"bass"}
    assert len(bass.spoken) == 3, "spoken once for all"
    assert len(memory_of(covered)) == 0
    tone.fail = lambda utterance, part: None
    again = await covered.speech(input=SENTENCES, response_format=format_)
    assert (again.headers["x-tts-cache"], again.headers["x-tts-status"]) == ("miss", "ok")


async def test_a_whole_reply_falls_back_even_late_because_nothing_has_left(covered: RunningApp) -> None:
    tone, bass = covered.engine_clients["tone"], covered.engine_clients["bass"]
    tone.fail = fails(1, part=1, times=2)  # the first sentence sounds, the second does not
    said = (await covered.synthesize(text=SENTENCES, format="wav")).json()
    assert (said["status"], said["engine_used"], said["cached"]) == ("degraded", "bass", False)
    assert len(bass.spoken) == 3, "all of it, in one voice"
    assert said["duration"] == pytest.approx(0.3)
    assert len(memory_of(covered)) == 0


async def test_a_stream_that_has_begun_goes_on_with_nobody_else(covered: RunningApp) -> None:
    tone, bass = covered.engine_clients["tone"], covered.engine_clients["bass"]
    tone.fail, tone.gated_from = fails(1, part=1, times=2), 1
    tone.gate.clear()
    call = Call(covered, LONG)
    running = asyncio.create_task(call.run())
    await until(lambda: call.parts)
    tone.gate.set()
    await running
    assert call.status == 200
    assert not call.has_ended()
    assert bass.spoken == []
