"""Lists of the waker: in pages by their size, of which little is kept."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, Iterable
from typing import Any, cast

import pytest

from tts_operator.cluster.client import Cluster
from tts_operator.cluster.watch_request import Collection, Page, WatchEvent
from tts_operator.objects.keys import Key
from tts_operator.objects.manifest import Body
from tts_operator.waker.feed import Feed
from tts_operator.waker.tenants import Tenants

LARGE_BYTES = 250_000
COUNT = 60


class Ended(Exception):  # noqa: N818 - names what happened
    """Both lists are complete."""


class Notes(dict[str, str]):
    """Annotations to which a weak reference can point."""


class Counting(Tenants):
    """Notes how many annotations are in memory when the list is complete."""

    def __init__(self, server: LargeTenants) -> None:
        super().__init__()
        self.server = server
        self.in_memory = 0

    def tenants_listed(self, namespace: str, bodies: Iterable[Body]) -> None:
        self.in_memory = sum(each() is not None for each in self.server.notes)
        super().tenants_listed(namespace, bodies)


class LargeTenants:
    """An API server with TTSTenants whose annotations are large."""

    def __init__(self) -> None:
        self.limits: list[int] = []
        self.notes: list[weakref.ref[Notes]] = []

    async def page(self, collection: Collection, token: str = "", limit: int = 500) -> Page:
        if collection.kind.plural != "ttstenants":
            return Page([], "1", "", 0)
        self.limits.append(limit)
        first = int(token or 0)
        numbers = range(first, min(first + limit, COUNT))
        items = [self.tenant(number) for number in numbers]
        following = str(numbers.stop) if numbers.stop < COUNT else ""
        return Page(items, "1", following, LARGE_BYTES * len(items))

    def tenant(self, number: int) -> dict[str, Any]:
        notes = Notes(note="x" * LARGE_BYTES)
        self.notes.append(weakref.ref(notes))
        return {
            "metadata": {"namespace": "team", "name": f"t{number}", "uid": str(number), "annotations": notes},
            "status": {"waker": {"port": 20_000 + number}},
        }

    async def watch(self, collection: Collection, *_: object) -> AsyncGenerator[WatchEvent]:
        if collection.kind.plural == "ttstenants":
            raise Ended
        await asyncio.Event().wait()
        yield WatchEvent("OPENED", {})


async def test_large_tenants_come_in_small_pages_and_none_is_kept_whole() -> None:
    server = LargeTenants()
    tenants = Counting(server)
    with pytest.RaisesGroup(Ended):
        await Feed(cast("Cluster", server), tenants, ("team",), lambda _: None).run()
    assert max(server.limits) <= 25
    assert server.limits[1] < 20, "the next pages are smaller, as these are larger than a page should be"
    assert len(tenants) == COUNT
    assert (found := tenants.at(20_000 + COUNT - 1)) is not None
    assert found.key == Key("team", f"t{COUNT - 1}")
    assert tenants.in_memory <= server.limits[-1], "those of the last page"
