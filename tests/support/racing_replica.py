"""A replica of its own process that asks for all it can get. Arguments: the store, its clock's error, calls."""

import asyncio
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import cast

from tts_server.errors import QuotaExceeded
from tts_server.quota.ledger import Entry
from tts_server.quota.limit_table import Limits
from tts_server.quota.limits import Request
from tts_server.quota.memory_quota import MemoryQuota
from tts_server.quota.redis_quota import RedisQuota
from tts_server.quota.resilient_quota import ResilientQuota
from tts_server.redis.client import RedisClient

LIMITS = Limits(
    requests_per_minute=600, requests_per_day=700, characters_per_day=7000, audio_seconds_per_day=2600, replicas=3
)

WORKERS = 4


async def race(url: str, error_seconds: float, calls: int) -> tuple[int, int]:
    """How many were let in, and whether the store was lost in between."""
    lost: list[bool] = []
    async with RedisClient.from_url(url) as client:
        local = MemoryQuota(
            lambda: time.monotonic() + error_seconds, lambda: datetime.now(UTC) + timedelta(seconds=error_seconds)
        )
        quota = ResilientQuota(RedisQuota(cast("RedisClient", client), call_seconds=20), local, time.monotonic)
        quota.notify(lost.append)
        print("ready", flush=True)
        sys.stdin.readline()

        async def ask(number: int) -> int:
            try:
                reservation = await quota.reserve("acme", LIMITS, Request(10, 4.0, f"client {number}"))
            except QuotaExceeded:
                return 0
            await reservation.settle(Entry("tone", "fp32", 10, 3.0))
            return 1

        async def work(worker: int) -> int:
            return sum([await ask(number) for number in range(worker, calls, WORKERS)])

        admitted = sum(await asyncio.gather(*(work(worker) for worker in range(WORKERS))))
    return admitted, lost.count(False)


if __name__ == "__main__":
    print(*asyncio.run(race(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))), flush=True)
