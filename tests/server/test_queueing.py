"""Requests queue for one engine by priority and deadline: real processes."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import generate_latest

from tests.support.server_app import RunningApp, config, running_app
from tests.support.worker_pools import beep, failing_pool, synthesized, until
from tts_server.config.schema import CacheConfig
from tts_server.errors import Draining, Overloaded
from tts_server.inference.client import Samples, Utterance
from tts_server.inference.pool import dispatcher
from tts_server.inference.pool.worker_pool import WorkerPool
from tts_server.routing.short_utterances import LONGEST_RUN_SECONDS
from tts_server.routing.voice_selection import RoutedUtterance
from tts_server.scheduling.fair_queue import Priority, SchedulingParams
from tts_server.scheduling.throughput import ThroughputEstimator
from tts_server.synthesis.guard import BreakerGuard
from tts_server.synthesis.plan import StreamHooks, SynthesisPlan
from tts_server.synthesis.sample_stream import SampleStream
from tts_server.text.duration_estimate import LETTER_SECONDS, estimated_seconds

BATCH = SchedulingParams(priority=Priority.BATCH, ages_after_seconds=60)


@asynccontextmanager
async def busy(pool: WorkerPool) -> AsyncIterator[None]:
    """Its one process speaks until the block ends."""
    parts = pool.speak(beep("endless"))
    await anext(parts)
    try:
        yield
    finally:
        await parts.aclose()


async def speaks(pool: WorkerPool, name: str, params: SchedulingParams, order: list[str]) -> None:
    async for _ in pool.speak(beep("ok"), params):
        pass
    order.append(name)


async def test_interactive_requests_overtake_queued_batch() -> None:
    order: list[str] = []
    async with failing_pool() as pool:
        async with busy(pool):
            tasks = []
            for number, (name, turn) in enumerate(
                [("batch", BATCH), ("first", SchedulingParams()), ("second", SchedulingParams())]
            ):
                tasks.append(asyncio.create_task(speaks(pool, name, turn, order)))
                await until(lambda waiting=number + 1: pool.waiting == waiting)  # type: ignore[misc]
        await asyncio.gather(*tasks)
    assert order == ["first", "second", "batch"]


async def test_a_batch_reply_that_an_interactive_request_joins_overtakes_other_batch() -> None:
    order: list[str] = []
    async with failing_pool() as pool:
        line = RoutedUtterance("beep", beep("ok"))
        plan = SynthesisPlan([line], {"beep": BreakerGuard("beep", pool)}, {"beep": ()}, lambda _: [])

        async def replies(name: str, samples: SampleStream) -> None:
            await samples.start()
            order.append(name)
            await samples.stop()

        async with busy(pool):
            tasks = []
            for number, name in enumerate(["one", "two", "three"]):
                samples = SampleStream(plan, StreamHooks(), BATCH)
                tasks.append(asyncio.create_task(replies(name, samples)))
                await until(lambda waiting=number + 1: pool.waiting == waiting)  # type: ignore[misc]
            samples.promote()
        await asyncio.gather(*tasks)
    assert order == ["three", "one", "two"]


async def test_an_interactive_request_promotes_the_batch_synthesis_it_joins(tmp_path: Path) -> None:
    """Identical requests share a synthesis: it continues with the more urgent priority."""
    async with running_app(config(tmp_path, cache=CacheConfig(enabled=True))) as acme:
        tone = acme.engine_clients["tone"]
        tone.gate.clear()
        body = {"model": "tts-1", "voice": "alloy", "input": "One. Two. Three.", "response_format": "flac"}
        headers = [{"X-TTS-Priority": "batch"}] * 2 + [{}]
        shared = acme.application.server.metrics.cache_requests.labels("shared")
        asking = []
        for number, header in enumerate(headers):
            asking.append(asyncio.create_task(acme.client.post("/v1/audio/speech", json=body, headers=header)))
            await until(lambda joined=number: bool(tone.spoken) and shared._value.get() == joined)  # type: ignore[misc]
            assert len(tone.hurried) == (number == 2)
        tone.gate.set()
        assert {reply.status_code for reply in await asyncio.gather(*asking)} == {200}
        assert tone.hurried == [tone.turns[0].reply]
        assert [turn.priority for turn in tone.turns] == [Priority.BATCH, *[Priority.INTERACTIVE] * 2]


async def test_a_request_that_would_wait_too_long_is_refused_at_once_with_a_retry_time() -> None:
    async with failing_pool() as pool:
        pool._dispatcher.throughput.observe(LETTER_SECONDS, 1.0)  # a second for each letter
        async with busy(pool):
            waiting = asyncio.create_task(synthesized(pool, beep("x" * 20)))
            await until(lambda: pool.waiting == 1)
            begun = time.monotonic()
            with pytest.raises(Overloaded) as caught:
                async for _ in pool.speak(beep("ok"), SchedulingParams(max_wait_seconds=10)):
                    pass
            assert time.monotonic() - begun < 15, "its turn would come in 27 s"
            assert caught.value.retry_after_seconds == pytest.approx(20 + len("endless"), abs=2)
            patient = asyncio.create_task(speaks(pool, "", SchedulingParams(max_wait_seconds=30), []))
            await until(lambda: pool.waiting == 2)
        await asyncio.gather(waiting, patient)


async def test_a_request_that_waited_in_vain_is_told_how_long_the_queue_still_is() -> None:
    async with failing_pool() as pool:
        assert pool.real_time_factor > 0, "the warm-up says how fast it is, until something was spoken"
        pool._dispatcher.throughput = ThroughputEstimator()
        async with busy(pool):
            waiting = asyncio.create_task(anext(pool.speak(beep("ok"), SchedulingParams(max_wait_seconds=0.3))))
            await until(lambda: pool.waiting == 1)
            pool._dispatcher.throughput = ThroughputEstimator(expected=60 / LETTER_SECONDS)  # a minute for each letter
            with pytest.raises(Overloaded) as caught:
                await waiting
            assert caught.value.retry_after_seconds == pytest.approx(60 * len("endless"), rel=0.1)


async def test_who_hangs_up_and_asks_for_something_else_is_not_refused_for_what_was_given_up() -> None:
    """The server notices a hang-up a moment after the next request has come."""
    async with failing_pool() as pool:
        pool._dispatcher.throughput = ThroughputEstimator(expected=60 / LETTER_SECONDS)  # a minute for each letter
        given_up = pool.speak(beep("endless"))
        await anext(given_up)
        next_one = asyncio.create_task(synthesized_within(pool, beep("ok"), SchedulingParams(max_wait_seconds=30)))
        await until(lambda: pool.waiting == 1)
        await given_up.aclose()
        assert (await next_one).size > 0


async def synthesized_within(pool: WorkerPool, utterance: Utterance, params: SchedulingParams) -> Samples:
    return np.concatenate([part async for part in pool.speak(utterance, params)])


async def test_a_long_text_without_a_mark_leaves_others_their_turn_on_a_slow_engine(acme: RunningApp) -> None:
    tone = acme.engine_clients["tone"]
    tone.real_time_factor = 1.0
    assert (await acme.speech(input="river stone garden " * 215, response_format="mp3")).status_code == 200
    lengths = [estimated_seconds(utterance.text, 1.0) for utterance in tone.spoken]
    assert max(lengths) <= LONGEST_RUN_SECONDS
    assert min(lengths) >= LONGEST_RUN_SECONDS / 2, "no crumbs"


async def test_a_queue_has_an_end_also_where_nobody_knows_how_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "MAX_QUEUED", 2)
    async with failing_pool() as pool:
        async with busy(pool):
            waiting = [asyncio.create_task(synthesized(pool, beep("ok"))) for _ in range(2)]
            await until(lambda: pool.waiting == 2)
            with pytest.raises(Overloaded):
                await synthesized(pool, beep("ok"))
        await asyncio.gather(*waiting)


async def test_a_queue_that_one_tenant_fills_has_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "MAX_QUEUED", 4)
    async with failing_pool() as pool:
        async with busy(pool):
            waiting = []
            for tenant, taken in (("flood", True), ("flood", True), ("flood", True), ("flood", True), ("flood", False),
                                  ("another", True), ("another", True), ("another", False), ("third", True),
                                  ("flood", False)):  # fmt: skip
                if not taken:
                    with pytest.raises(Overloaded):
                        await anext(pool.speak(beep("ok"), SchedulingParams(tenant)))
                    continue
                waiting.append(asyncio.create_task(speaks(pool, tenant, SchedulingParams(tenant), [])))
                await until(lambda: pool.waiting == len(waiting))
        await asyncio.gather(*waiting)


async def test_who_leaves_the_queue_is_gone_at_once() -> None:
    depths: list[int] = []
    async with failing_pool(on_depth=lambda tenant, depth: depths.append(depth)) as pool:
        async with busy(pool):
            waiting = asyncio.create_task(speaks(pool, "", SchedulingParams(), []))
            await until(lambda: pool.waiting == 1)
            waiting.cancel()
            await asyncio.wait([waiting])
            assert pool.waiting == 0
            assert depths == [1, 0]
        assert (await synthesized(pool, beep("ok"))).size > 0


async def test_one_that_leaves_in_the_moment_of_its_turn_loses_no_process() -> None:
    async with failing_pool() as pool:
        parts = pool.speak(beep("endless"))
        await anext(parts)
        waiting = asyncio.create_task(speaks(pool, "", SchedulingParams(), []))
        await until(lambda: pool.waiting == 1)
        waiting.cancel()  # it has not run yet when the process is offered
        slot = pool._slots[0]
        pool._dispatcher.offer(slot)
        assert list(pool._dispatcher.idle) == [slot]
        pool._dispatcher.idle.clear()
        await parts.aclose()
        assert (await synthesized(pool, beep("ok"))).size > 0


async def test_batch_that_waits_is_refused_by_itself() -> None:
    async with failing_pool() as pool:
        async with busy(pool):
            batch = asyncio.create_task(speaks(pool, "", BATCH, []))
            interactive = asyncio.create_task(speaks(pool, "", SchedulingParams(), []))
            await until(lambda: pool.waiting == 2)
            pool.refuse_waiting(Draining("This replica is about to end."), Priority.BATCH)
            with pytest.raises(Draining):
                await batch
            assert pool.waiting == 1
        await interactive


@pytest.fixture
async def acme(tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with running_app(config(tmp_path, max_wait_seconds=7, batch_ages_after_seconds=3)) as running:
        yield running


@pytest.mark.parametrize(
    ("header", "priority"),
    [({}, Priority.INTERACTIVE), ({"X-TTS-Priority": "batch"}, Priority.BATCH),
     ({"X-TTS-Priority": "Interactive"}, Priority.INTERACTIVE)],
)  # fmt: skip
async def test_a_header_lowers_a_request(acme: RunningApp, header: dict[str, str], priority: Priority) -> None:
    body = {"model": "tts-1", "voice": "alloy", "input": "One. Two.", "response_format": "flac"}
    for path, content in (("/v1/audio/speech", body), ("/v1/tts/synthesize", {"text": "Hello."})):
        assert (await acme.client.post(path, json=content, headers=header)).status_code == 200
    first = acme.engine_clients["tone"].turns[0]
    assert first == SchedulingParams("team-acme.acme", 1.0, priority, 3, first.max_wait_seconds)
    assert first.max_wait_seconds == pytest.approx(7, abs=2), "what it waited at the door is over"
    assert {turn.priority for turn in acme.engine_clients["tone"].turns} == {priority}


async def test_a_priority_that_nobody_knows_is_refused(acme: RunningApp) -> None:
    reply = await acme.client.post("/v1/tts/synthesize", json={"text": "x"}, headers={"X-TTS-Priority": "urgent"})
    assert reply.status_code == 400
    assert "interactive, batch" in reply.json()["error"]["message"]


async def test_batch_is_not_begun_on_a_replica_that_is_about_to_end(acme: RunningApp) -> None:
    acme.application.server.drain()
    reply = await acme.client.post("/v1/tts/synthesize", json={"text": "x"}, headers={"X-TTS-Priority": "batch"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "draining")
    assert "retry-after" in reply.headers
    assert (await acme.synthesize()).status_code == 200


async def test_only_the_first_line_of_a_reply_is_refused_for_its_wait(acme: RunningApp) -> None:
    await acme.speech(input="The first one is here. And the second one follows it.", response_format="flac")
    waits = [turn.max_wait_seconds for turn in acme.engine_clients["tone"].turns]
    assert waits[0] is not None
    assert set(waits[1:]) <= {None}


async def test_what_follows_is_due_when_its_listener_has_heard_the_rest(acme: RunningApp) -> None:
    """A tenth of a second each, and a second to spare."""
    begun = time.monotonic()
    await acme.speech(input="One. <lang=de>Zwei.</lang> Three.", response_format="pcm")
    first, *later = [turn.due for turn in acme.engine_clients["tone"].turns]
    assert first is None
    assert later[0] is not None
    assert later[1] == pytest.approx(later[0] + 0.1, abs=0.01)
    assert begun - 0.9 <= later[0] <= time.monotonic() - 0.9
    del acme.engine_clients["tone"].turns[:]
    await acme.synthesize(text="One. <lang=de>Zwei.</lang> Three.", format="pcm")
    assert [turn.due for turn in acme.engine_clients["tone"].turns] == [None] * 3, "nobody hears it before its end"


async def test_the_queue_is_measured_under_configured_names(acme: RunningApp) -> None:
    metrics = acme.application.server.metrics
    metrics.queue_wait.labels("team-acme.acme", "tone").observe(0.1)
    text = generate_latest(metrics.registry).decode()
    assert 'tts_queue_wait_seconds_count{model="tone",tenant="team-acme.acme"} 1.0' in text
