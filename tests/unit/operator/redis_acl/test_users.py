"""Users of a Redis that comes and goes: nobody waits for it, everything is made good, nothing else is touched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from tests.support.virtual_time import VirtualClock
from tts_operator.cluster.errors import NotLeading, Refused, Unreachable
from tts_operator.objects.keys import Key
from tts_operator.redis_acl.users import (
    MAX_CHECKS,
    SYNC_SECONDS,
    RedisAclError,
    RedisRejected,
    RedisUnreachable,
    RedisUsers,
    Registration,
)

ACME, BLUE = Key("team-acme", "acme"), Key("team-blue", "blue")


@dataclass
class Store:
    """A Redis that fails when it is told to."""

    trouble: RedisAclError | None = None
    owners: dict[str, str] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)
    asked: int = 0

    async def grant(self, operator: str, uid: str, owner: str, password_sha256: str) -> None:
        self.admit(operator)
        self.owners[uid], self.users[uid] = owner, password_sha256

    async def registered(self, operator: str) -> Mapping[str, Registration]:
        self.admit(operator)
        return {uid: Registration(owner, uid in self.users) for uid, owner in self.owners.items()}

    async def remove(self, operator: str, uids: Collection[str]) -> None:
        self.admit(operator)
        for uid in uids:
            self.owners.pop(uid, None)
            self.users.pop(uid, None)

    def admit(self, operator: str) -> None:
        assert operator == "lease-1"
        self.asked += 1
        if self.trouble:
            raise self.trouble


class Platform:
    """A fake of what surrounds the users: a cluster of tenants by UID, and a queue."""

    def __init__(self, clock: VirtualClock) -> None:
        self.store = Store()
        self.living: set[str] = set()
        self.hidden: set[str] = set()
        self.reconciled: list[Key] = []
        self.leads = True
        self.users = RedisUsers(self.store, self.operator, lambda: self.leads, clock)

    async def operator(self) -> str:
        return "lease-1"

    async def gone(self, uid: str, key: Key) -> bool:
        if uid in self.hidden:
            raise Refused("Forbidden", f"{key} is in a namespace that is not watched any more")
        return uid not in self.living

    @asynccontextmanager
    async def tended(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.users.run(self.reconciled.append, self.gone))
        yield
        task.cancel()

    async def look(self) -> None:
        await self.users.sync(self.reconciled.append, self.gone)


@pytest.fixture
def platform(clock: VirtualClock) -> Platform:
    return Platform(clock)


async def test_a_redis_that_is_away_is_asked_once_and_then_left_in_peace(platform: Platform) -> None:
    platform.store.trouble = RedisUnreachable("connection refused")
    said = [await platform.users.grant(key, f"uid-{key.name}", "a-password") for key in (ACME, BLUE, ACME)]
    assert [failure and failure.reason for failure in said] == ["RedisUnavailable"] * 3
    assert platform.store.asked == 1, "the others would only have waited"
    assert said[0] is not None
    assert said[0].message.startswith("the operator's Redis is unavailable: connection refused; until it recovers")


async def test_what_was_owed_is_made_good_when_it_is_back(platform: Platform) -> None:
    platform.store.trouble = RedisUnreachable("away")
    for key in (ACME, BLUE):
        await platform.users.grant(key, f"uid-{key.name}", "a-password")
    async with platform.tended():
        await asyncio.sleep(3600)
        assert platform.reconciled == []
        platform.store.trouble = None
        await asyncio.sleep(SYNC_SECONDS + 1)
    assert set(platform.reconciled) == {ACME, BLUE}
    assert await platform.users.grant(ACME, "uid-acme", "a-password") is None
    assert platform.store.users.keys() == {"uid-acme"}


async def test_a_redis_that_stays_away_is_asked_ever_less_often(platform: Platform) -> None:
    platform.store.trouble = RedisUnreachable("away")
    async with platform.tended():
        await asyncio.sleep(3600)
    assert platform.store.asked < 3600 / SYNC_SECONDS + 10


async def test_one_that_refuses_is_another_matter(platform: Platform) -> None:
    platform.store.trouble = RedisRejected("NOPERM this user has no permissions to run the 'acl|setuser' command")
    failure = await platform.users.grant(ACME, "uid-acme", "a-password")
    assert failure is not None
    assert failure.reason == "RedisRefused"
    assert "a-password" not in failure.message


async def test_what_redis_has_lost_is_made_again(platform: Platform) -> None:
    for key in (ACME, BLUE):
        await platform.users.grant(key, f"uid-{key.name}", "a-password")
    del platform.store.users["uid-acme"]
    await platform.look()
    assert platform.reconciled == [ACME]
    platform.store.users.clear()
    platform.store.owners.clear()  # restarted with nothing on its disk
    platform.reconciled.clear()
    await platform.look()
    assert platform.reconciled == [ACME, BLUE]


async def test_a_tenant_that_is_gone_takes_its_user_with_it(platform: Platform) -> None:
    for key in (ACME, BLUE):
        await platform.users.grant(key, f"uid-{key.name}", "a-password")
        platform.living.add(f"uid-{key.name}")
    platform.living.remove("uid-acme")
    await platform.look()
    assert platform.store.users.keys() == {"uid-acme", "uid-blue"}, "nobody has told of it"
    platform.users.departed(ACME)
    await platform.look()
    assert platform.store.users.keys() == {"uid-blue"}


async def test_a_tenant_whose_end_was_missed_is_found_by_the_list(platform: Platform) -> None:
    for key in (ACME, BLUE):
        await platform.users.grant(key, f"uid-{key.name}", "a-password")
    platform.living = {"uid-blue"}
    platform.users.listed({BLUE})
    await platform.look()
    assert platform.store.users.keys() == {"uid-blue"}


async def test_a_namesake_has_another_user_and_the_first_one_goes(platform: Platform) -> None:
    await platform.users.grant(ACME, "uid-1", "a-password")
    platform.living = {"uid-2"}
    await platform.users.grant(ACME, "uid-2", "another")
    await platform.look()
    assert platform.store.users.keys() == {"uid-2"}


async def test_a_new_leader_removes_nobody_that_it_has_only_not_heard_of(platform: Platform) -> None:
    platform.store.owners = {"uid-acme": str(ACME), "uid-blue": str(BLUE), "uid-hidden": "team-other/other"}
    platform.living, platform.hidden = {"uid-acme"}, {"uid-hidden"}
    await platform.look()
    assert platform.store.owners.keys() == {"uid-acme", "uid-hidden"}


async def test_of_many_unknown_users_each_is_looked_up_in_its_turn(platform: Platform) -> None:
    living = [f"uid-{number:04}" for number in range(2 * MAX_CHECKS)]
    platform.store.owners = {uid: f"team/{uid}" for uid in [*living, "uid-last"]}
    platform.living = set(living)
    for _ in range(3):
        assert "uid-last" in platform.store.owners
        await platform.look()
    assert "uid-last" not in platform.store.owners


async def test_an_api_server_that_does_not_answer_removes_nobody(platform: Platform) -> None:
    platform.store.owners = {"uid-acme": str(ACME)}

    async def away(uid: str, key: Key) -> bool:
        raise Unreachable("no answer")

    task = asyncio.create_task(platform.users.run(platform.reconciled.append, away))
    await asyncio.sleep(10 * SYNC_SECONDS)
    assert not task.done()
    task.cancel()
    assert platform.store.owners


async def test_who_does_not_lead_makes_no_users(platform: Platform) -> None:
    platform.leads = False
    with pytest.raises(NotLeading):
        await platform.users.grant(ACME, "uid-acme", "a-password")
    assert platform.store.asked == 0
