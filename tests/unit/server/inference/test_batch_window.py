"""The first of a batch waits for company, and no longer than the window, by a clock that tests move."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support.virtual_time import VirtualTimeLoop
from tts_server.inference.client import Utterance
from tts_server.inference.pool import batch_collector
from tts_server.inference.pool.batch_collector import BatchCollector
from tts_server.inference.pool.slot import QueuedUtterance, WorkerSlot
from tts_server.scheduling.batching import BatchPolicy
from tts_server.scheduling.fair_queue import FairQueue, Item, SchedulingParams

WINDOW_SECONDS = 0.05
POLICY = BatchPolicy(3, WINDOW_SECONDS)


class FreeSlot:
    """As much of a slot as a collector looks at."""

    worker = SimpleNamespace(voice_groups={})


class Collected:
    """A collector of one slot, and the batches that it started: when, and of how many."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = asyncio.get_running_loop().time
        monkeypatch.setattr(batch_collector, "time", SimpleNamespace(monotonic=self.now))
        self.queue: FairQueue[QueuedUtterance] = FairQueue(self.now)
        self.slot = cast("WorkerSlot", cast("Any", FreeSlot()))
        self.started: list[tuple[float, int]] = []
        self.collector = BatchCollector([self.slot], self.queue, self._start)

    def _start(self, slot: WorkerSlot, items: list[Item[QueuedUtterance]]) -> None:
        self.started.append((round(self.now(), 3), len(items)))

    def arrives(self) -> Item[QueuedUtterance]:
        """An utterance that was just taken from the queue."""
        self.queue.push(QueuedUtterance(Utterance("abc", "ann"), batchable=True), SchedulingParams(), 3.0)
        item = self.queue.pop()
        assert item is not None
        return item


def in_virtual_time(scene: Callable[[Collected], Awaitable[None]], monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        await scene(Collected(monkeypatch))

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(run())


def test_the_first_goes_when_its_window_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(found: Collected) -> None:
        found.collector.begin(found.slot, found.arrives(), POLICY, others_busy=True)
        await asyncio.sleep(0.02)
        found.collector.join(found.slot, found.arrives())
        await asyncio.sleep(10)
        assert found.started == [(WINDOW_SECONDS, 2)], "one that comes later does not open the window anew"

    in_virtual_time(scene, monkeypatch)


def test_time_in_the_queue_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(found: Collected) -> None:
        early = found.arrives()
        await asyncio.sleep(0.04)
        found.collector.begin(found.slot, early, POLICY, others_busy=True)
        await asyncio.sleep(10)
        late = found.arrives()
        await asyncio.sleep(10)
        found.collector.begin(found.slot, late, POLICY, others_busy=True)
        assert found.started == [(WINDOW_SECONDS, 1), (20.04, 1)]

    in_virtual_time(scene, monkeypatch)


def test_a_full_batch_and_a_lone_utterance_wait_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(found: Collected) -> None:
        found.collector.begin(found.slot, found.arrives(), POLICY, others_busy=False)
        found.collector.begin(found.slot, found.arrives(), POLICY, others_busy=True)
        found.collector.join(found.slot, found.arrives())
        found.collector.join(found.slot, found.arrives())
        assert found.started == [(0.0, 1), (0.0, 3)]

    in_virtual_time(scene, monkeypatch)
