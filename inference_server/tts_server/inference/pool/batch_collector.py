"""Collects queued utterances into batches that wait for company before they start."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tts_server.errors import TTSError
from tts_server.inference.client import Utterance
from tts_server.inference.pool.slot import QueuedUtterance, WorkerSlot
from tts_server.scheduling.batching import BatchPolicy, PendingBatch
from tts_server.scheduling.fair_queue import FairQueue, Item, SchedulingParams


@dataclass(eq=False, slots=True)
class _OpenBatch(PendingBatch[QueuedUtterance]):
    timer: asyncio.TimerHandle | None = None
    """Starts the batch, unless it is full before."""

    def close(self) -> None:
        """Close the batch to new members."""
        if self.timer is not None:
            self.timer.cancel()


class BatchCollector:
    """Keeps at most one batch per slot open, and calls `start` with the members that are still waiting."""

    def __init__(
        self,
        slots: Sequence[WorkerSlot],
        waiting: FairQueue[QueuedUtterance],
        start: Callable[[WorkerSlot, list[Item[QueuedUtterance]]], None],
    ) -> None:
        self.policy: BatchPolicy | None = None
        """Limits of batches; None if every utterance is synthesized alone."""
        self.open: dict[WorkerSlot, _OpenBatch] = {}
        """Batches that wait for company, by the slot that will run them."""
        self._slots = slots
        self._waiting = waiting
        self._start = start

    def begin(self, slot: WorkerSlot, leader: Item[QueuedUtterance], policy: BatchPolicy, *, others_busy: bool) -> None:
        """Open a batch with the queued utterances that may join; start it now, or after a moment for others to come."""
        batch = _OpenBatch(policy, self._kind(leader.work.utterance), leader)
        while (item := self._waiting.pop(lambda each: self._may_join(batch, each))) is not None:
            batch.items.append(item)
        self.open[slot] = batch
        seconds = batch.wait_seconds(time.monotonic(), company=len(self._waiting) > 0 or others_busy)
        if seconds > 0:
            batch.timer = asyncio.get_running_loop().call_later(seconds, self._close, slot)
        else:
            self._close(slot)

    def find(self, utterance: Utterance, params: SchedulingParams, cost: float) -> WorkerSlot | None:
        """Return the slot of an open batch that this utterance may join."""
        kind = self._kind(utterance)
        return next((slot for slot, batch in self.open.items() if batch.accepts(kind, params, cost)), None)

    def join(self, slot: WorkerSlot, item: Item[QueuedUtterance]) -> None:
        """Add an utterance to the slot's open batch; start the batch if it is full."""
        batch = self.open[slot]
        batch.items.append(item)
        if batch.full:
            self._close(slot)

    def withdraw(self, item: Item[QueuedUtterance]) -> None:
        """Remove a cancelled utterance from its open batch."""
        for slot, batch in list(self.open.items()):
            if item in batch.items:
                batch.items.remove(item)
                if not batch.items:
                    self._close(slot)

    def refuse_all(self, error: TTSError) -> None:
        """Fail every member of every open batch; called on shutdown."""
        for batch in self.open.values():
            batch.close()
            for item in batch.items:
                item.work.refuse(error)
        self.open.clear()

    def _close(self, slot: WorkerSlot) -> None:
        batch = self.open.pop(slot)
        batch.close()
        self._start(slot, [item for item in batch.items if item.work.is_waiting])

    def _kind(self, utterance: Utterance) -> object:
        """Return what all utterances of a batch have in common."""
        return utterance.precision, self._slots[0].worker.voice_groups.get(utterance.voice, "")

    def _may_join(self, batch: _OpenBatch, item: Item[QueuedUtterance]) -> bool:
        queued = item.work
        return queued.batchable and batch.accepts(self._kind(queued.utterance), item.params, item.cost)
