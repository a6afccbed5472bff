"""Every `Quota`, each with its own way to let time pass."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from tests.support.redis_server import CounterStore
from tests.support.timeouts import PATIENCE_SECONDS
from tts_server.quota.memory_quota import MemoryQuota
from tts_server.quota.protocol import Quota
from tts_server.quota.redis_quota import RedisQuota
from tts_server.quota.resilient_quota import ResilientQuota
from tts_server.redis.client import RedisClient

NOON = datetime(2026, 11, 11, 12, tzinfo=UTC)
TENANT = "acme"
DAY_SECONDS = 86_400
AGE = """
for _, key in ipairs(redis.call('KEYS', '*')) do
  if redis.call('TYPE', key).ok == 'zset' then
    for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do redis.call('ZINCRBY', key, ARGV[1], member) end
  end
end
"""


class QuotaHarness(Protocol):
    """An implementation, and time that passes when told."""

    quota: Quota

    async def advance(self, seconds: float) -> None:
        """Let seconds pass."""

    async def keep(self) -> None:
        """Requests under way are still served."""

    async def midnight(self) -> None:
        """The next day begins."""

    async def set_clock(self, seconds: float) -> None:
        """The clock is set forward, or back by a negative number, while no time passes."""

    async def now(self) -> datetime:
        """By the clock that counts."""


@dataclass
class MemoryHarness:
    """Its clock starts at noon."""

    seconds: float = 1000.0
    days: int = 0
    set_seconds: float = 0.0
    """By how much the clock was set."""

    def __post_init__(self) -> None:
        self.quota: Quota = MemoryQuota(self.monotonic, self.wall)

    def monotonic(self) -> float:
        return self.seconds

    def wall(self) -> datetime:
        return NOON + timedelta(days=self.days, seconds=self.seconds + self.set_seconds - 1000)

    async def advance(self, seconds: float) -> None:
        self.seconds += seconds

    async def keep(self) -> None:
        """They cannot outlive their server."""

    async def midnight(self) -> None:
        self.days += 1
        self.seconds += DAY_SECONDS

    async def set_clock(self, seconds: float) -> None:
        self.set_seconds += seconds

    async def now(self) -> datetime:
        return self.wall()


@dataclass
class RedisHarness:
    """Redis's clock cannot be told: what is stored grows older instead."""

    client: RedisClient
    shared: RedisQuota
    quota: Quota
    set_seconds: float = 0.0
    """By how much the clock was set."""

    async def advance(self, seconds: float) -> None:
        await self.client.eval(AGE, 0, -round(seconds * 1_000_000))

    async def keep(self) -> None:
        await self.shared.maintain()

    async def midnight(self) -> None:
        await self.advance(DAY_SECONDS)
        await self._begin_days(1)

    async def set_clock(self, seconds: float) -> None:
        before, self.set_seconds = self.set_seconds, self.set_seconds + seconds
        await self.advance(seconds)
        now = (await self.now()).timestamp()
        await self._begin_days(int((now + self.set_seconds) // DAY_SECONDS - (now + before) // DAY_SECONDS))

    async def _begin_days(self, days: int) -> None:
        """Make what is of today so many days older."""
        async for key in self.client.scan_iter("*"):
            name = key.decode()
            if name.endswith(":day"):
                for field in ("day", "other_day"):
                    await self.client.hincrby(key, field, -days)
            elif name.endswith(":open"):
                records: dict[bytes, bytes] = await self.client.hgetall(key)  # type: ignore[assignment]  # undecoded
                for id_, record in records.items():
                    day, rest = record.decode().split(" ", 1)
                    await self.client.hset(key, id_, f"{int(day) - days} {rest}")
            elif ":ledger:" in name and days:
                start, day = name.rsplit(":", 1)
                await self.client.rename(key, f"{start}:{int(day) - days}")

    async def now(self) -> datetime:
        seconds, micros = await self.client.time()
        return datetime.fromtimestamp(seconds + micros / 1e6, UTC)


@asynccontextmanager
async def memory_harness(store: CounterStore) -> AsyncIterator[QuotaHarness]:
    del store
    yield MemoryHarness()


@asynccontextmanager
async def redis_harness(store: CounterStore) -> AsyncIterator[QuotaHarness]:
    async with store.client() as client:
        await client.flushall()
        shared = RedisQuota(client, PATIENCE_SECONDS)
        yield RedisHarness(client, shared, shared)


@asynccontextmanager
async def guarded_harness(store: CounterStore) -> AsyncIterator[QuotaHarness]:
    """A guard whose store answers."""
    async with store.client() as client:
        await client.flushall()
        local = MemoryHarness()
        shared = RedisQuota(client, PATIENCE_SECONDS)
        guarded = ResilientQuota(shared, MemoryQuota(local.monotonic), local.monotonic)
        yield RedisHarness(client, shared, guarded)


HARNESSES: dict[str, Callable[[CounterStore], AbstractAsyncContextManager[QuotaHarness]]] = {
    "memory": memory_harness,
    "redis": redis_harness,
    "guarded": guarded_harness,
}
