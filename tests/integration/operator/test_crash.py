"""An operator may die after any of its writes: the next one finishes what it began, and the end is the same."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.support.api_server import CLOCK, DAY, NUMBERS, SETTINGS, ApiServer, converge, eventually, specs
from tests.support.resources import tenant_body
from tts_operator.cluster.client import Cluster, Request, Write
from tts_operator.controller.reconcile_tenant import ReconcileContext, reconcile
from tts_operator.objects.keys import Key

TIME = re.compile(r"\d{8}T\d{6}Z|\d{4}-\d{2}-\d{2}T[\d:+]+")
"""In the names of signing keys, and of when the current one began to sign."""


OF_THE_OPERATOR = {"Accepted", "ModelsResolved", "Programmed"}
"""Conditions about what the operator does. The others follow pods and HPAs, whose controllers take their time."""
MAX_CONCURRENT_TENANTS = 4
pytestmark = pytest.mark.timeout(900)  # two dozen tenants' lives for each test


class Died(BaseException):
    """The end of the process, as far as anything inside it can tell."""


class DyingCluster(Cluster):
    """Ends the operator right after its n-th write."""

    writes_left = 0

    async def send(self, request: Request) -> dict[str, Any]:
        answer = await super().send(request)
        if request.writes:
            self.writes_left -= 1
            if self.writes_left == 0:
                raise Died
        return answer


@asynccontextmanager
async def beside(api: ApiServer) -> AsyncIterator[ApiServer]:
    """Share the namespace, with a connection and a count of writes of its own: several tenants converge at once."""
    writes: list[Write] = []
    async with await Cluster.connect(lambda: True, wrote=writes.append) as cluster:
        yield replace(api, cluster=cluster, writes=writes)


async def dies_after(writes: int, key: Key) -> bool:
    """Reconcile with an operator that dies after so many writes; False if it had fewer to make."""
    async with await DyingCluster.connect(lambda: True) as cluster:
        cluster.writes_left = writes
        try:
            while (
                coming := await reconcile(key, ReconcileContext(cluster, SETTINGS, CLOCK))
            ) and coming.at <= CLOCK.now():
                pass  # as the controller does: it asks to look again at once
        except Died:
            return True
    return False


async def each_death(dies: Callable[[int], Awaitable[bool]]) -> int:
    """Tell the story with a death after the first write, the second and so on, until there is none; how many died.

    A few at once: they have nothing to do with each other, and each waits for the API server most of the time.
    """
    deaths = 0
    while True:
        died = await asyncio.gather(*(dies(deaths + 1 + ahead) for ahead in range(MAX_CONCURRENT_TENANTS)))
        deaths += sum(died)
        if not all(died):
            return deaths


async def picture(api: ApiServer, key: Key) -> list[str]:
    """The children and what the status says of them, line by line, whoever and whenever it was."""
    status = await api.status(key.name)
    conditions = [
        f"{each['type']}={each['status']} {each['reason']}" if each["type"] in OF_THE_OPERATOR else each["type"]
        for each in status["conditions"]
    ]
    children = json.dumps(specs(await api.children(key.name)), sort_keys=True, indent=1)
    children = TIME.sub("TIME", children.replace(key.name, "NAME"))
    return [*children.splitlines(), *sorted(conditions)]


@pytest.fixture
async def models(api: ApiServer) -> tuple[str, str]:
    return await api.publish_model(), await api.publish_model()


def new_key(api: ApiServer) -> Key:
    return Key(api.namespace, f"tenant-{next(NUMBERS)}")


async def created(api: ApiServer, key: Key, *models: str) -> None:
    """A child of every kind, Secrets too; a second model would add more of the same."""
    await api.user.create(tenant_body(*models, schedule=DAY, tier="VIP", auth={"modes": ["APIKey", "JWT"]}, key=key))


async def updated(api: ApiServer, key: Key, model: str) -> None:
    """One model less, no tokens, another tier, another schedule: writes of every sort, deletes too."""
    await api.user.put(tenant_body(model, tier="Enterprise", suspend=True, key=key))


async def deaths_that_end_in(
    expected: object, api: ApiServer, asked: Callable[[ApiServer, Key], Awaitable[None]]
) -> int:
    """How many deaths there are in what follows from what is asked: a tenant of its own for each, all with one end."""

    async def dies(writes: int) -> bool:
        key = new_key(api)
        async with beside(api) as other:
            await asked(other, key)
            died = await dies_after(writes, key)
            await converge(other, key)
            assert await picture(other, key) == expected, f"after a death at write {writes}"
        return died

    return await each_death(dies)


async def test_a_create_survives_a_death_after_each_write(api: ApiServer, models: tuple[str, str]) -> None:
    undisturbed = new_key(api)
    await created(api, undisturbed, models[0])
    await converge(api, undisturbed)
    expected = await picture(api, undisturbed)

    async def asked(other: ApiServer, key: Key) -> None:
        await created(other, key, models[0])

    assert await deaths_that_end_in(expected, api, asked) >= 12


async def test_an_update_survives_a_death_after_each_write(api: ApiServer, models: tuple[str, str]) -> None:
    undisturbed = new_key(api)
    await created(api, undisturbed, *models)
    await converge(api, undisturbed)
    await updated(api, undisturbed, models[0])
    await converge(api, undisturbed)
    expected = await picture(api, undisturbed)

    async def asked(other: ApiServer, key: Key) -> None:
        await created(other, key, *models)
        await converge(other, key)
        await updated(other, key, models[0])

    assert await deaths_that_end_in(expected, api, asked) >= 10


async def test_a_delete_after_a_death_at_each_write_of_the_create_leaves_nothing(
    api: ApiServer, models: tuple[str, str]
) -> None:
    keys = []

    async def dies(writes: int) -> bool:
        key = new_key(api)
        keys.append(key)
        await created(api, key, models[0])
        died = await dies_after(writes, key)
        await api.user.delete(api.ref("TTSTenant", key.name))
        assert await reconcile(key, ReconcileContext(api.cluster, SETTINGS, CLOCK)) is None
        return died

    assert await each_death(dies) >= 12
    for key in keys:
        await eventually(lambda key=key: empty(api, key), f"nothing is left of {key}")  # type: ignore[misc]


async def empty(api: ApiServer, key: Key) -> bool:
    return not await api.children(key.name)
