"""One suite over every Cache; then what is broken, away, or shared between replicas."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from redis.exceptions import RedisError

from tests.support.redis_server import CounterStore, counter_store
from tests.support.s3_server import ObjectStore
from tts_server.cache.factory import open_cache
from tts_server.cache.memory import CacheLimits, MemoryCache
from tts_server.cache.protocol import Cache, CachedReply
from tts_server.cache.redis import RedisCache
from tts_server.cache.resilient import ResilientCache
from tts_server.cache.serialization import decode_entry, encode_entry
from tts_server.cache.storage import StorageCache
from tts_server.cache.tiered import TieredCache
from tts_server.circuit_breaker import SERVICE, Breaker
from tts_server.config.schema import CacheConfig, ModelConfig, RedisConfig, ServerConfig, StorageConfig
from tts_server.errors import StorageUnavailable
from tts_server.quota.redis_quota import CALL_SECONDS
from tts_server.redis.client import RedisClient, redis_client
from tts_server.storage.filesystem import FilesystemStore
from tts_server.storage.protocol import StorageLimits
from tts_server.storage.s3 import S3Store

ACME = "team-acme.acme"
ONE, OTHER = "1" * 64, "2" * 64
DAY = StorageLimits(retention_seconds=86_400, max_bytes=1_000_000)


@dataclass
class Clock:
    seconds: float = field(default_factory=time.time)

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Harness:
    """An implementation, and its clock."""

    cache: Cache
    clock: Clock
    settled: Callable[[], Awaitable[None]]
    """Return when what was put has arrived everywhere."""

    def recording(self, content: bytes = b"sound", *, seconds: float = 60.0) -> CachedReply:
        return CachedReply(content, audio_seconds=1.5, expires=self.clock.seconds + seconds)


async def at_once() -> None:
    """Put is put."""


@pytest.fixture(scope="module")
def valkey() -> Iterator[CounterStore]:
    with counter_store() as running:
        yield running


@pytest.fixture
async def redis(valkey: CounterStore) -> AsyncIterator[RedisClient]:
    valkey.run("FLUSHALL")
    client = redis_client(RedisConfig(url=valkey.url))
    yield client
    await client.aclose()


@pytest.fixture
def memory_cache() -> Harness:
    clock = Clock()
    return Harness(MemoryCache(CacheLimits(100, 700_000), clock), clock, at_once)


@pytest.fixture
def files_cache(tmp_path: Path) -> Harness:
    clock = Clock()
    return Harness(StorageCache(FilesystemStore(tmp_path, DAY), ACME, clock), clock, at_once)


@pytest.fixture
def s3_cache(object_store: ObjectStore) -> Harness:
    clock = Clock()
    return Harness(StorageCache(S3Store(object_store.bucket(), DAY, ACME), ACME, clock), clock, at_once)


@pytest.fixture
def redis_cache(redis: RedisClient) -> Harness:
    clock = Clock()
    return Harness(RedisCache(redis, ACME, clock), clock, at_once)


@pytest.fixture
def tiered_cache(redis: RedisClient, tmp_path: Path) -> Harness:
    clock = Clock()
    cache = TieredCache(
        MemoryCache(CacheLimits(100, 100_000), clock),
        RedisCache(redis, ACME, clock),
        StorageCache(FilesystemStore(tmp_path, DAY), ACME, clock),
        small_bytes=1000,
    )
    return Harness(cache, clock, cache.written)


@pytest.fixture
def forgetful_cache(tiered_cache: Harness) -> Harness:
    """Tiers without anything in memory: as another replica sees them."""
    cast("TieredCache", tiered_cache.cache).memory = MemoryCache(CacheLimits(1, 1), tiered_cache.clock)
    return tiered_cache


@pytest.fixture(params=["memory", "files", "s3", "redis", "tiered", "forgetful"])
def harness(request: pytest.FixtureRequest) -> Iterator[Harness]:
    harness = cast("Harness", request.getfixturevalue(f"{request.param}_cache"))
    yield harness
    harness.cache.close()


@pytest.mark.parametrize(
    "content", [b"s", b"\x00\xff" * 400, b"large" * 5000, b"huge" * 150_000], ids=["tiny", "small", "large", "huge"]
)
async def test_what_is_put_can_be_got(harness: Harness, content: bytes) -> None:
    recording = harness.recording(content)
    await harness.cache.put(ONE, recording)
    await harness.settled()
    assert await harness.cache.get(ONE) == recording
    assert await harness.cache.get(ONE) == recording, "as often as it is asked for"
    assert await harness.cache.get(OTHER) is None


@pytest.mark.parametrize("content", [b"small", b"large" * 5000], ids=["small", "large"])
async def test_what_has_expired_is_a_miss(harness: Harness, content: bytes) -> None:
    await harness.cache.put(ONE, harness.recording(content))
    await harness.settled()
    harness.clock.seconds += 59
    assert await harness.cache.get(ONE) is not None
    harness.clock.seconds += 1
    assert await harness.cache.get(ONE) is None


async def test_what_is_put_last_counts(harness: Harness) -> None:
    for content in (b"first", b"second" * 1000, b"third"):
        await harness.cache.put(ONE, harness.recording(content))
        await harness.settled()
    found = await harness.cache.get(ONE)
    assert found is not None
    assert found.content == b"third"


async def test_a_sweep_leaves_what_is_good(harness: Harness) -> None:
    await harness.cache.put(ONE, harness.recording())
    await harness.settled()
    await harness.cache.sweep()
    assert await harness.cache.get(ONE) is not None


async def test_memory_drops_what_was_not_used_for_longest() -> None:
    clock = Clock()
    cache = MemoryCache(CacheLimits(max_entries=3, max_bytes=100), clock)
    keys = [str(number) * 64 for number in range(4)]
    for key in keys[:3]:
        await cache.put(key, CachedReply(b"x", 1.0, clock.seconds + 60))
    await cache.get(keys[0])
    await cache.put(keys[3], CachedReply(b"x", 1.0, clock.seconds + 60))
    assert [await cache.get(key) is not None for key in keys] == [True, False, True, True]
    await cache.put(keys[1], CachedReply(b"x" * 99, 1.0, clock.seconds + 60))
    assert (len(cache), cache.bytes) == (2, 100), "one byte of another has room beside it"
    await cache.put(keys[2], CachedReply(b"x" * 101, 1.0, clock.seconds + 60))
    assert (len(cache), cache.bytes) == (2, 100), "what nothing has room for pushes nothing out"
    clock.seconds += 60
    await cache.sweep()
    assert (len(cache), cache.bytes) == (0, 0)


def test_a_seal_shows_every_change() -> None:
    recording = CachedReply(b"sound", 1.5, 100.0)
    sealed = encode_entry(ONE, recording)
    assert decode_entry(ONE, sealed) == recording
    assert decode_entry(OTHER, sealed) is None, "nor is it good under another key"
    for length in range(len(sealed)):
        assert decode_entry(ONE, sealed[:length]) is None
    assert decode_entry(ONE, sealed + b"\0") is None
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1 << position % 8
        assert decode_entry(ONE, bytes(changed)) is None


async def test_broken_files_are_dropped(files_cache: Harness, tmp_path: Path) -> None:
    await files_cache.cache.put(ONE, files_cache.recording())
    (file,) = (tmp_path / ACME).iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    assert await files_cache.cache.get(ONE) is None
    assert not file.exists()


async def test_broken_values_are_dropped(redis_cache: Harness, valkey: CounterStore) -> None:
    await redis_cache.cache.put(ONE, redis_cache.recording())
    (name,) = valkey.run("KEYS", "*")
    assert name == f"tts:{{{ACME}}}:cache:{ONE}"
    assert 0 < valkey.run("TTL", name) <= 60
    valkey.run("APPEND", name, "x")
    assert await redis_cache.cache.get(ONE) is None
    assert valkey.run("KEYS", "*") == []


@dataclass
class Away:
    """A cache that fails or hangs."""

    error: Exception | None
    calls: int = 0

    async def get(self, key: str) -> CachedReply | None:
        self.calls += 1
        if self.error is not None:
            raise self.error
        await asyncio.Event().wait()
        raise AssertionError

    async def put(self, key: str, recording: CachedReply) -> None:
        await self.get(key)

    async def sweep(self) -> None:
        await self.get("")

    def close(self) -> None: ...


@pytest.mark.parametrize("error", [None, StorageUnavailable("Away."), RedisError(), OSError()])
async def test_what_is_away_is_empty_and_is_asked_once(error: Exception | None) -> None:
    clock, away = Clock(), Away(error)
    breaker = Breaker(clock, SERVICE)
    cache = ResilientCache(away, "test", (StorageUnavailable, RedisError, OSError), 0.01, breaker)
    for _ in range(10):
        assert await cache.get(ONE) is None
    assert away.calls == 1
    clock.seconds += 5
    for _ in range(10):
        assert await cache.get(ONE) is None
    assert away.calls == 2
    if error is not None:
        await cache.sweep()


def server_config(directory: Path, valkey: CounterStore | None, **changes: object) -> ServerConfig:
    return ServerConfig(
        tenant=ACME,
        models=(ModelConfig(name="tone"),),
        storage=StorageConfig(directory=directory, **changes),  # type: ignore[arg-type]  # whatever a test changes
        cache=CacheConfig(enabled=True, small_bytes=1000),
        redis=RedisConfig(url=valkey.url) if valkey is not None else None,
    )


async def test_replicas_share_small_audio_through_redis_and_large_audio_through_the_store(
    object_store: ObjectStore, valkey: CounterStore, redis: RedisClient, tmp_path: Path
) -> None:
    config = server_config(tmp_path, valkey, s3=object_store.bucket(prefix="audio"))
    caches = [open_cache(config, redis) for _ in range(2)]
    one, other = (cast("TieredCache", cache) for cache in caches)
    small, large = b"small", b"large" * 1000
    expires = time.time() + 60
    await one.put(ONE, CachedReply(small, 1.0, expires))
    await one.put(OTHER, CachedReply(large, 2.0, expires))
    await one.written()
    assert config.storage.s3 is not None
    (name,) = object_store.names(config.storage.s3)
    assert name.startswith(f"audio/.cache/{ACME}/")
    assert len(valkey.run("KEYS", "*")) == 2
    for key, content in ((ONE, small), (OTHER, large)):
        found = await other.get(key)
        assert found is not None
        assert (found.content, found.expires) == (content, expires)
    valkey.run("FLUSHALL")
    assert await other.get(ONE) is not None, "it is in memory now"
    assert await other.get("3" * 64) is None
    one.close()
    other.close()


async def test_without_redis_a_replica_still_finds_large_audio(tmp_path: Path) -> None:
    config = server_config(tmp_path, None)
    one, other = (cast("TieredCache", open_cache(config, None)) for _ in range(2))
    await one.put(ONE, CachedReply(b"large" * 1000, 1.0, time.time() + 60))
    await one.written()
    assert await other.get(ONE) is not None
    assert await other.get(OTHER) is None


async def test_a_redis_that_hangs_or_dies_costs_a_moment_once(tmp_path: Path) -> None:
    with counter_store() as valkey:
        client = redis_client(RedisConfig(url=valkey.url))
        cache = cast("TieredCache", open_cache(server_config(tmp_path, valkey), client))
        await cache.put(ONE, CachedReply(b"small", 1.0, time.time() + 60))
        await cache.written()
        valkey.freeze()
        begun = time.monotonic()
        for number in range(40):
            assert await cache.get(f"{number:064x}") is None
            await cache.put(f"{number:064x}", CachedReply(b"small", 1.0, time.time() + 60))
            assert await cache.get(f"{number:064x}") is not None, "memory is not away"
        assert time.monotonic() - begun < 40 * CALL_SECONDS / 2
        valkey.thaw()
        valkey.kill()
        assert await cache.get(OTHER) is None
        await cache.written()
        cache.close()
        await client.aclose()
