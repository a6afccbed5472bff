"""The caches of several tenants within one budget."""

import time

from tts_server.cache.memory import CacheBudget, CacheLimits, MemoryCache
from tts_server.cache.protocol import CachedReply

LATER = time.time() + 3600


def reply(size: int) -> CachedReply:
    return CachedReply(b"x" * size, 1.0, LATER)


async def test_the_cache_with_the_most_bytes_gives_way() -> None:
    budget = CacheBudget(100)
    large, small = (MemoryCache(CacheLimits(1000, 1000), budget=budget) for _ in range(2))
    await small.put("kept", reply(30))
    for number in range(50):
        await large.put(f"{number}", reply(10))
    assert await small.get("kept") is not None
    assert (large.bytes, small.bytes, budget.bytes, budget.entries) == (70, 30, 100, 8)
    assert await large.get("49") is not None
    assert await large.get("0") is None


async def test_a_tenant_within_an_equal_part_loses_nothing_to_any_number_of_others() -> None:
    budget = CacheBudget(100)
    caches = [MemoryCache(CacheLimits(1000, 1000), budget=budget) for _ in range(10)]
    await caches[0].put("kept", reply(10))
    for _ in range(20):
        for cache in caches[1:]:
            await cache.put(str(time.perf_counter_ns()), reply(10))
    assert await caches[0].get("kept") is not None
    assert budget.bytes <= 100


async def test_a_closed_cache_gives_its_part_back() -> None:
    budget = CacheBudget(100)
    cache = MemoryCache(CacheLimits(1000, 1000), budget=budget)
    await cache.put("one", reply(60))
    cache.close()
    assert (budget.bytes, budget.entries, budget.caches) == (0, 0, set())


async def test_an_entry_that_replaces_another_counts_once() -> None:
    budget = CacheBudget(100)
    cache = MemoryCache(CacheLimits(1000, 1000), budget=budget)
    for _ in range(5):
        await cache.put("one", reply(60))
    assert (budget.bytes, len(cache)) == (60, 1)
