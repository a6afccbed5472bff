"""One suite over every RefreshTokens: each token is good once, and a second use ends its family."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Protocol, cast

import pytest

from tests.support.redis_server import CounterStore, counter_store
from tts_server.auth.redis_refresh_tokens import RedisRefreshTokens
from tts_server.auth.refresh_tokens import REFRESH_SECONDS, MemoryRefreshTokens, RefreshTokens
from tts_server.config.schema import RedisConfig
from tts_server.errors import InvalidGrant, RefreshUnavailable
from tts_server.redis.client import RedisClient, redis_client


class RefreshHarness(Protocol):
    """An implementation; how a day passes there, and everything that it keeps."""

    tokens: RefreshTokens

    async def lapse(self) -> None:
        """Time passes, until what was not used is forgotten."""

    async def rest(self) -> None:
        """Almost as long passes."""

    async def kept(self) -> str: ...

    def few(self, most: int) -> RefreshTokens:
        """A store that holds so many families."""


@dataclass
class MemoryHarness:
    seconds: float = 1000.0
    tokens: MemoryRefreshTokens = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = MemoryRefreshTokens(lambda: self.seconds)

    async def lapse(self) -> None:
        self.seconds += REFRESH_SECONDS

    async def rest(self) -> None:
        self.seconds += REFRESH_SECONDS - 60

    async def kept(self) -> str:
        return repr(self.tokens._families)

    def few(self, most: int) -> RefreshTokens:
        return MemoryRefreshTokens(lambda: self.seconds, most)


@dataclass
class RedisHarness:
    client: RedisClient
    tokens: RedisRefreshTokens = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = RedisRefreshTokens(self.client, "uid-1")

    async def lapse(self) -> None:
        """Its clock is its own: what has a time to live, and one that is right, has lived."""
        for key in await self.client.keys("*"):
            assert REFRESH_SECONDS - 60 < await self.client.ttl(key) <= REFRESH_SECONDS
            await self.client.delete(key)

    async def rest(self) -> None:
        for key in await self.client.keys("*"):
            await self.client.expire(key, await self.client.ttl(key) - REFRESH_SECONDS + 120)

    async def kept(self) -> str:
        keys = await self.client.keys("*")
        families = [key for key in keys if b":all" not in key]
        return repr([keys, *[await self.client.hgetall(family) for family in families]])

    def few(self, most: int) -> RefreshTokens:
        return RedisRefreshTokens(self.client, "uid-1", most)


@pytest.fixture(scope="module")
def server() -> Iterator[CounterStore]:
    with counter_store() as running:
        yield running


@pytest.fixture
def memory_refresh() -> MemoryHarness:
    return MemoryHarness()


@pytest.fixture
async def redis_refresh(server: CounterStore) -> AsyncIterator[RedisHarness]:
    client = redis_client(RedisConfig(url=server.address))
    await client.flushall()
    yield RedisHarness(client)
    await client.aclose()


@pytest.fixture(params=["memory", "redis"])
def harness(request: pytest.FixtureRequest) -> RefreshHarness:
    return cast("RefreshHarness", request.getfixturevalue(f"{request.param}_refresh"))


async def test_a_chain_of_tokens_keeps_its_holder(harness: RefreshHarness) -> None:
    token = await harness.tokens.start("mobile-app ü")
    for _ in range(5):
        renewal = await harness.tokens.renew(token)
        assert renewal.holder == "mobile-app ü"
        assert renewal.token != token
        token = renewal.token


async def test_a_second_use_ends_the_family(harness: RefreshHarness) -> None:
    first = await harness.tokens.start("app")
    second = (await harness.tokens.renew(first)).token
    third = (await harness.tokens.renew(second)).token
    with pytest.raises(InvalidGrant):
        await harness.tokens.renew(first)
    for token in (second, third):
        with pytest.raises(InvalidGrant):
            await harness.tokens.renew(token)


async def test_families_end_alone(harness: RefreshHarness) -> None:
    one, other = await harness.tokens.start("app"), await harness.tokens.start("app")
    await harness.tokens.renew(one)
    with pytest.raises(InvalidGrant):
        await harness.tokens.renew(one)
    await harness.tokens.renew(other)


async def test_of_many_uses_at_once_one_succeeds_and_the_family_is_over(harness: RefreshHarness) -> None:
    token = await harness.tokens.start("app")
    outcomes = await asyncio.gather(*(harness.tokens.renew(token) for _ in range(20)), return_exceptions=True)
    renewed = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert len(renewed) == 1
    assert all(isinstance(outcome, InvalidGrant) for outcome in outcomes if isinstance(outcome, BaseException))
    with pytest.raises(InvalidGrant):
        await harness.tokens.renew(renewed[0].token)


async def test_a_token_that_rests_for_a_day_is_forgotten(harness: RefreshHarness) -> None:
    token = await harness.tokens.start("app")
    token = (await harness.tokens.renew(token)).token
    await harness.lapse()
    with pytest.raises(InvalidGrant):
        await harness.tokens.renew(token)


async def test_a_token_that_is_used_lives_on(harness: RefreshHarness) -> None:
    token = await harness.tokens.start("app")
    for _ in range(3):
        await harness.rest()
        token = (await harness.tokens.renew(token)).token
    await harness.lapse()  # from its last use on, not from its first one


@pytest.mark.parametrize(
    "token", ["", ".", "a.b", "x" * 66, "ü" * 22 + "." + "b" * 43, "a" * 22 + "." + "b" * 43 + "\n"]
)
async def test_what_was_never_a_token_is_refused(harness: RefreshHarness, token: str) -> None:
    with pytest.raises(InvalidGrant):
        await harness.tokens.renew(token)


async def test_what_is_kept_holds_no_token(harness: RefreshHarness) -> None:
    token = await harness.tokens.start("app")
    renewed = (await harness.tokens.renew(token)).token
    kept = await harness.kept()
    assert "app" in kept
    for part in {*token.split("."), *renewed.split(".")}:
        assert part not in kept


async def test_redis_keys_carry_the_tenants_uid_so_that_a_namesake_inherits_nothing(
    redis_refresh: RedisHarness,
) -> None:
    token = await redis_refresh.tokens.start("app")
    assert all(b"uid-1" in key for key in await redis_refresh.client.keys("*"))
    with pytest.raises(InvalidGrant):
        await RedisRefreshTokens(redis_refresh.client, "uid-2").renew(token)
    await redis_refresh.tokens.renew(token)


async def test_a_store_that_is_gone_is_said_to_be(tmp_path: object) -> None:
    with counter_store() as running:
        client = redis_client(RedisConfig(url=running.address))
        tokens = RedisRefreshTokens(client, "uid-1")
        token = await tokens.start("app")
        running.kill()
        with pytest.raises(RefreshUnavailable):
            await tokens.renew(token)
        with pytest.raises(RefreshUnavailable):
            await tokens.start("app")
        await client.aclose()


async def test_the_family_that_rested_longest_makes_room(harness: RefreshHarness) -> None:
    """Whoever buys a token for each request fills nothing, neither a server nor a store that tenants share."""
    tokens = harness.few(3)
    first, rested, third = [await tokens.start("app") for _ in range(3)]
    first = (await tokens.renew(first)).token
    others = [first, third, await tokens.start("app")]
    with pytest.raises(InvalidGrant):
        await tokens.renew(rested)
    for token in others:
        await tokens.renew(token)


async def test_families_that_are_over_take_no_room(redis_refresh: RedisHarness) -> None:
    tokens = redis_refresh.few(3)
    for _ in range(3):
        spent = await tokens.start("app")
        await tokens.renew(spent)
        with pytest.raises(InvalidGrant):
            await tokens.renew(spent)
    assert await redis_refresh.client.keys("*") == []
    old = await tokens.start("app")
    await redis_refresh.client.zadd("ttsfleet:{uid-1}:refresh:all", {"forgotten by itself": 1})
    for _ in range(2):
        await tokens.start("app")
    assert await redis_refresh.client.zcard("ttsfleet:{uid-1}:refresh:all") == 3
    await tokens.renew(old)
