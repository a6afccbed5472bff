"""An engine, a caller or Redis is lost at each step of a request: what was delivered, counted and kept agrees then."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.support.patient_redis import PatientRedisCalls, be_patient
from tests.support.redis_server import CounterStore, counter_store
from tests.support.replies import PCM_BYTES_A_SECOND, UID, dies, usage
from tests.support.server_app import SENTENCES, Call, RunningApp, ToneClient, config, running_app
from tests.support.timeouts import HANG_SECONDS
from tts_server.cache.tiered import TieredCache
from tts_server.config.schema import CacheConfig, QuotaConfig, RedisConfig, ServerConfig
from tts_server.quota.redis_quota import RedisQuota
from tts_server.quota.resilient_quota import ResilientQuota
from tts_server.redis.client import RedisClient

REPLY = {"model": "tts-1", "voice": "alloy", "input": SENTENCES, "response_format": "pcm"}
RATE_HZ = 24_000
"""The sample rate of pcm replies, so that no resampling changes a sample."""
UTTERANCES, PARTS = 3, 2
WHOLE = np.full(RATE_HZ // 10 * UTTERANCES, 8192, "<i2").tobytes()
LIMITS = QuotaConfig(
    requests_per_minute=1000, requests_per_day=1000, characters_per_day=100_000, audio_seconds_per_day=1000,
    concurrent_requests=1000,
)  # fmt: skip


@pytest.fixture(scope="module")
def store() -> Iterator[CounterStore]:
    with counter_store() as running:
        yield running


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch, store: CounterStore) -> None:
    be_patient(monkeypatch, store)


@pytest.fixture(params=["small", "large"])
def settings(request: pytest.FixtureRequest, store: CounterStore, tmp_path: Path) -> ServerConfig:
    """Sound is shared through Redis, or lies in the store with a note of it in Redis."""
    cache = CacheConfig(enabled=True, small_bytes=len(WHOLE) if request.param == "small" else 100)
    return config(tmp_path, redis=RedisConfig(url=store.url), tenant_uid=UID, cache=cache)


@asynccontextmanager
async def fresh(settings: ServerConfig, store: CounterStore) -> AsyncIterator[RunningApp]:
    """Nothing is counted or kept."""
    store.run("FLUSHALL")
    shutil.rmtree(settings.storage.directory, ignore_errors=True)
    async with running_app(settings, LIMITS, tone=ToneClient(RATE_HZ, PARTS)) as acme:
        redis = acme.application._redis
        assert redis is not None
        quota_of(acme)[1]._calls = PatientRedisCalls(redis, store)
        yield acme


def quota_of(acme: RunningApp) -> tuple[ResilientQuota, RedisQuota]:
    guard = acme.application._guard
    assert guard is not None
    assert isinstance(guard._shared, RedisQuota)
    return guard, guard._shared


async def usage_at_last(acme: RunningApp) -> dict[str, Any]:
    """Once Redis has been found again, and told all that it must know."""
    guard, shared = quota_of(acme)
    async with asyncio.timeout(HANG_SECONDS):
        while True:
            found = await usage(acme)
            lost = [charge for known in shared._tenants.values() for charge in known.lost]
            if found["complete"] and not any((
                lost, guard._uncharged, guard._undelivered, guard._delivering, shared._doubtful, shared._unwritten(),
            )):  # fmt: skip
                return await usage(acme)
            guard._maintain_at = 0.0  # at its next look, and not in ten seconds
            await asyncio.sleep(0.01)


async def agrees(acme: RunningApp, settings: ServerConfig, store: CounterStore, call: Call) -> None:
    """Ledger, limits and cache are as if the caller had asked for exactly what it got."""
    delivered = b"".join(call.parts) if call.status == 200 else b""
    assert WHOLE.startswith(delivered)
    acme.engine_clients["tone"].fail = lambda utterance, part: None
    found = await usage_at_last(acme)
    assert found["total"]["requests"] == bool(delivered)
    assert found["total"]["audio_seconds"] == pytest.approx(len(delivered) / PCM_BYTES_A_SECOND, abs=1e-5)
    used = {name: one["limit"] - one["remaining"] for name, one in found["limits"].items()}
    assert used == {
        "requestsPerMinute": bool(delivered), "requestsPerDay": bool(delivered), "concurrentRequests": 0,
        "charactersPerDay": len(SENTENCES) * bool(delivered), "audioSecondsPerDay": bool(delivered),
    }  # fmt: skip
    assert store.run("ZCARD", f"tts:{{{UID}}}:quota:leases") == 0
    assert store.run("HLEN", f"tts:{{{UID}}}:quota:open") == 0

    cache = acme.application.server.cache
    assert isinstance(cache, TieredCache)
    await cache.written()
    again = await acme.speech(**REPLY)
    assert again.content == WHOLE, "nobody hears a part as if it were all"
    if delivered == WHOLE and call.has_ended():
        assert again.headers["x-tts-cache"] == "hit"
    async with running_app(settings, LIMITS, tone=ToneClient(RATE_HZ, PARTS)) as other:
        assert (await other.speech(**REPLY)).content == WHOLE, "nor at another replica"


@pytest.mark.parametrize("once", [True, False], ids=["once", "from then on"])
@pytest.mark.parametrize("utterance", range(UTTERANCES))
@pytest.mark.parametrize("part", range(PARTS))
async def test_the_engine_dies(
    settings: ServerConfig, store: CounterStore, utterance: int, part: int, once: bool
) -> None:
    def fail(number: int, at: int) -> None:
        if at == part and (number == utterance if once else number >= utterance):
            dies(0)(number, at)

    async with fresh(settings, store) as acme:
        acme.engine_clients["tone"].fail = fail
        call = Call(acme, REPLY)
        await call.run()
        await agrees(acme, settings, store, call)


async def test_the_caller_leaves(settings: ServerConfig, store: CounterStore) -> None:
    early = 0
    for turns in range(0, 200, 8):
        async with fresh(settings, store) as acme:
            call = Call(acme, REPLY)
            running = asyncio.create_task(call.run())
            for _ in range(turns):
                await asyncio.sleep(0)
            early += not call.has_ended()
            call.gone.set()
            await running
            await agrees(acme, settings, store, call)
    assert early > 5


@dataclass
class Loss:
    """Lose Redis at one of the commands that it is sent."""

    lose: Callable[[], None]
    at: int
    answered: bool
    """Else the command is done, and nobody hears of it."""
    commands: int = 0
    armed: bool = False
    lost: asyncio.Event = field(default_factory=asyncio.Event)

    async def command(self, send: Callable[[], Awaitable[Any]]) -> Any:
        self.commands += self.armed
        if not self.armed or self.commands != self.at:
            return await send()
        self.armed = False
        try:
            if not self.answered:
                await send()
        finally:
            self.lose()
            self.lost.set()
        if not self.answered:
            raise RedisConnectionError("The connection is lost.")
        return await send()


LOSSES = {"killed": (CounterStore.kill, CounterStore.start), "hung": (CounterStore.freeze, CounterStore.thaw)}


@pytest.mark.parametrize("answered", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("how", ["killed", "hung", "flushed"])
async def test_redis_is_lost(
    settings: ServerConfig, store: CounterStore, how: str, answered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose, back = LOSSES.get(how, (lambda each: each.run("FLUSHALL"), lambda each: None))
    send = RedisClient.execute_command

    async def lost_at(step: int) -> bool:
        """Whether there was such a step."""
        loss = Loss(lambda: lose(store), step, answered)

        async def command(client: RedisClient, *args: Any, **options: Any) -> Any:
            return await loss.command(lambda: send(client, *args, **options))

        monkeypatch.setattr(RedisClient, "execute_command", command)
        async with fresh(settings, store) as acme:
            loss.armed = True
            call = Call(acme, REPLY)
            await call.run()
            was_lost, loss.armed = not loss.armed, False
            if was_lost:  # what is kept is on its way when the caller has its answer
                await loss.lost.wait()
                back(store)
            assert b"".join(call.parts) == WHOLE, "Redis is never needed in order to speak"
            await agrees(acme, settings, store, call)
        return was_lost

    steps = 0
    while await lost_at(steps + 1):
        steps += 1
    assert steps >= 3, "admitted, looked for in the cache, settled"
