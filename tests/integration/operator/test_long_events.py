"""An event of a watch may be as long as an object can be, and one that is longer does not end the watching."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import kubernetes.aio.client
import pytest
from aiohttp import web

from tts_operator.cluster.client import Cluster
from tts_operator.cluster.lines import MAX_LINE_BYTES
from tts_operator.cluster.watch_request import Collection
from tts_operator.informer.indexer import Change, Indexer
from tts_operator.informer.reflector import Reflector
from tts_operator.objects.kinds import CONFIG_MAP
from tts_operator.telemetry.watch_activity import WatchActivity

SOON_SECONDS = 30.0
pytestmark = pytest.mark.timeout(120)


def config_map(name: str, version: int, value: str) -> dict[str, object]:
    metadata = {"name": name, "namespace": "team", "uid": name, "resourceVersion": str(version)}
    return {"metadata": {**metadata, "labels": {"ttsfleet.io/tenant": "acme"}}, "data": {"a": value}}


@dataclass
class ConfigMaps:
    """Answers a list with nothing, and every watch from before its events with them."""

    events: list[dict[str, object]]
    listed_at: list[int]
    """Version of each list; the last one stays."""
    lists: int = 0
    watched_from: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            self.lists += 1
            version = self.listed_at.pop(0) if len(self.listed_at) > 1 else self.listed_at[0]
            return web.json_response({"metadata": {"resourceVersion": str(version)}, "items": []})
        start = request.query["resourceVersion"]
        self.watched_from.append(start)
        response = web.StreamResponse()
        await response.prepare(request)
        for event in self.events:
            if int(event["metadata"]["resourceVersion"]) > int(start):  # type: ignore[index]
                await response.write(json.dumps({"type": "MODIFIED", "object": event}).encode() + b"\n")
        await asyncio.sleep(int(request.query["timeoutSeconds"]))
        return response


class Heard:
    """Notes which objects changed."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.next = asyncio.Event()

    def changed(self, change: Change) -> None:
        self.names.append(change.held.name)
        if change.held.name == "next":
            self.next.set()

    def repaired(self, change: Change) -> None: ...

    def delivered(self, plural: str, version: str) -> None: ...


@asynccontextmanager
async def reflected(server: ConfigMaps) -> AsyncIterator[Heard]:
    app = web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    configuration = kubernetes.aio.client.Configuration()
    configuration.host = f"http://127.0.0.1:{runner.addresses[0][1]}"
    heard = Heard()
    clock = asyncio.get_running_loop().time
    async with Cluster(configuration, lambda: True) as cluster:
        collection = Collection(CONFIG_MAP)
        activity = WatchActivity((collection.path,), clock)
        task = asyncio.create_task(Reflector(cluster, collection, Indexer(), heard, activity).run())
        try:
            yield heard
        finally:
            task.cancel()
            await asyncio.wait([task])
            await runner.cleanup()


async def test_a_megabyte_of_control_characters_is_read() -> None:
    """JSON writes each of them in six bytes."""
    server = ConfigMaps([config_map("long", 2, "\x01" * 10**6), config_map("next", 3, "b")], [1])
    async with reflected(server) as heard:
        async with asyncio.timeout(SOON_SECONDS):
            await heard.next.wait()
    assert heard.names == ["long", "next"]
    assert server.lists == 1


async def test_after_an_event_that_is_too_long_everything_is_listed_and_the_watch_goes_on_behind_it() -> None:
    """A watch from the same version would bring the same event for ever."""
    server = ConfigMaps([config_map("long", 2, "a" * MAX_LINE_BYTES), config_map("next", 3, "b")], [1, 2])
    async with reflected(server) as heard:
        async with asyncio.timeout(SOON_SECONDS):
            await heard.next.wait()
    assert heard.names == ["next"]
    assert server.lists == 2
    assert server.watched_from[:2] == ["1", "2"]
