"""Dispatches queued utterances to the workers of one engine: who runs next, where, alone or in a batch."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import is_

from tts_server.errors import EngineNotReady, Overloaded, TTSError
from tts_server.inference.client import Utterance
from tts_server.inference.pool.batch import Batch
from tts_server.inference.pool.batch_collector import BatchCollector
from tts_server.inference.pool.slot import Assignment, QueuedUtterance, WorkerSlot
from tts_server.scheduling.fair_queue import FairQueue, Item, Priority, SchedulingParams
from tts_server.scheduling.throughput import Running, ThroughputEstimator

MAX_QUEUED = 1024
"""Most queued utterances, in equal parts for all tenants: a bound while nothing is known of how long they will take."""
PREFETCH_SECONDS = 0.02
"""How long before the predicted end of an utterance the worker is sent the next one.

Long enough for a busy event loop to notice the end and to answer, and for the error of the prediction. An utterance
that arrives within this time waits for one more, however urgent it is.
"""


RECONSIDER_SECONDS = 0.25
"""How long an utterance whose predicted wait is too long may still wait before it is refused.

A client that hangs up and asks for something else at once is not refused for what it has just given up.
"""


@dataclass(frozen=True, slots=True)
class DispatchHooks:
    """Callbacks for metrics."""

    on_wait: Callable[[str, float], None] = lambda _, __: None
    """Called with a tenant and the seconds that one of its utterances was queued."""
    on_depth: Callable[[str, int], None] = lambda _, __: None
    """Called with a tenant and the number of its queued utterances."""
    on_batch: Callable[[int], None] = lambda _: None
    """Called with the number of utterances that start together on an engine that can batch."""


class Dispatcher:
    """Assigns utterances to slots. Whoever is assigned a slot must see to it that it is offered again.

    `on_lost` is called with a slot whose idle worker has died, `on_batch` with a batch that is to run and its cost,
    `on_abandoned` with a slot whose worker runs an utterance that was cancelled.
    """

    def __init__(
        self,
        slots: Sequence[WorkerSlot],
        hooks: DispatchHooks,
        *,
        on_lost: Callable[[WorkerSlot], None],
        on_batch: Callable[[WorkerSlot, Batch, float], None],
        on_abandoned: Callable[[WorkerSlot], None],
    ) -> None:
        self.throughput = ThroughputEstimator()
        self.running: set[Running] = set()
        """All running utterances, those of batches too."""
        self.idle: deque[WorkerSlot] = deque()
        self.waiting: FairQueue[QueuedUtterance] = FairQueue(time.monotonic, hooks.on_depth)
        self.batches = BatchCollector(slots, self.waiting, self._start_batch)
        self._slots = slots
        self._hooks = hooks
        self._on_lost = on_lost
        self._on_batch = on_batch
        self._on_abandoned = on_abandoned

    async def acquire(
        self, utterance: Utterance, params: SchedulingParams, cost: float, *, batchable: bool
    ) -> Assignment:
        """Return an assignment once there is one. Raises what `refuse` refuses the queue with.

        Raises `Overloaded` if the wait exceeds `params.max_wait_seconds`, by the prediction soon after arrival or
        later in fact; `EngineNotReady` if it does while no worker is loaded.
        """
        slot = self._take_idle()
        if slot is not None and not batchable:
            slot.assigned_at = time.monotonic()
            self._hooks.on_wait(params.tenant, 0.0)
            return slot, None
        joined = self.batches.find(utterance, params, cost) if slot is None and batchable else None
        limit_seconds = self._check_wait(params) if slot is None and joined is None else params.max_wait_seconds
        item = self.waiting.push(QueuedUtterance(utterance, batchable), params, cost)
        if slot is not None:
            self.offer(slot)
        elif joined is not None:
            self.waiting.pop(partial(is_, item))
            self.batches.join(joined, item)
        elif limit_seconds is not None:
            item.work.expiry = asyncio.get_running_loop().call_later(limit_seconds, self._expire, item)
        try:
            assignment = await item.work.assignment
        except asyncio.CancelledError:
            self._withdraw(item)
            raise
        finally:
            if item.work.expiry is not None:
                item.work.expiry.cancel()
            arrived = item.arrived
            del item  # its future may hold the exception that is raised here, and that holds this frame: no cycle
        self._hooks.on_wait(params.tenant, time.monotonic() - arrived)
        return assignment

    def offer(self, slot: WorkerSlot) -> None:
        """Assign the next queued utterance to an idle worker."""
        if (sent_ahead := slot.next_request) is not None:
            slot.next_request = None
            slot.worker.start_next()
            if sent_ahead.work.is_waiting:
                slot.assign(sent_ahead)
            else:
                self._on_abandoned(slot)
            return
        if (item := self._pop()) is not None:
            if self.batches.policy is not None and item.work.batchable:
                self.batches.begin(slot, item, self.batches.policy, others_busy=self._others_busy(slot))
            else:
                slot.assign(item)
            return
        for other in self._slots:  # an utterance that waits behind another worker's runs here at once
            if other.next_request is not None and other.next_request.work.is_waiting:
                other.worker.cancel_next()
                slot.assign(other.next_request)
                return
        self.idle.append(slot)

    def discard_dead(self) -> None:
        """Report every idle worker that has died to `on_lost`."""
        for slot in [slot for slot in self.idle if not slot.worker.alive]:
            self.idle.remove(slot)
            self._on_lost(slot)

    def plan_prefetch(self, slot: WorkerSlot, cost: float) -> None:
        """Have the worker, which begins an utterance of this cost, sent the next one shortly before its end."""
        if self.batches.policy is not None or slot.over_memory_limit or not self.throughput.known:
            return
        seconds = self.throughput.wait_seconds(cost, 1) - PREFETCH_SECONDS
        if seconds > 0:
            slot.sending_next = asyncio.get_running_loop().call_later(seconds, self._prefetch, slot)
        else:
            self._prefetch(slot)

    def cancel_prefetch(self, slot: WorkerSlot) -> None:
        """Send nothing ahead any more: the worker's utterance has ended."""
        if slot.sending_next is not None:
            slot.sending_next.cancel()
            slot.sending_next = None

    def requeue_next(self, slot: WorkerSlot) -> None:
        """Return the utterance that was sent ahead to the queue: its worker will not run it."""
        item, slot.next_request = slot.next_request, None
        if item is None or not item.work.is_waiting:
            return
        self.waiting.put_back(item)
        if (idle := self._take_idle()) is not None:
            self.offer(idle)

    def refuse(self, error: TTSError, priority: Priority | None = None) -> None:
        """Fail queued utterances with `error`: all of them, or those of one priority."""
        for item in list(self.waiting):
            if priority in {None, item.params.priority}:
                self.waiting.remove(item)
                item.work.refuse(error)
        for slot in self._slots:
            if slot.next_request is not None and priority in {None, slot.next_request.params.priority}:
                slot.next_request.work.refuse(error)
                slot.worker.cancel_next()

    def close(self, error: TTSError) -> None:
        """Fail everything queued; called on shutdown."""
        self.idle.clear()
        self.refuse(error)
        self.batches.refuse_all(error)

    def _take_idle(self) -> WorkerSlot | None:
        while self.idle:
            slot = self.idle.popleft()
            if slot.worker.alive:
                return slot
            self._on_lost(slot)
        return None

    def _pop(self) -> Item[QueuedUtterance] | None:
        """Take the next utterance out of the queue, passing over those whose client has just disconnected."""
        while (item := self.waiting.pop()) is not None:
            if item.work.is_waiting:
                return item
        return None

    def _prefetch(self, slot: WorkerSlot) -> None:
        if slot.next_request is None and (item := self._pop()) is not None:
            slot.next_request = item
            slot.worker.enqueue_next(item.work.utterance)

    def _check_wait(self, params: SchedulingParams) -> float | None:
        """Return after how many seconds an utterance that arrives now is refused unless it runs; None: never.

        Where the predicted wait is too long, that is soon. Raises `Overloaded` if the queue is full.
        """
        if len(self.waiting) >= MAX_QUEUED and self._has_used_its_part(params.tenant):
            raise _overloaded(self._predicted_wait_seconds(params))
        limit_seconds = params.max_wait_seconds
        if limit_seconds is None or self._predicted_wait_seconds(params) <= limit_seconds:
            return limit_seconds
        return min(limit_seconds, RECONSIDER_SECONDS)

    def _predicted_wait_seconds(self, params: SchedulingParams) -> float:
        sent_ahead = sum(slot.next_request.cost for slot in self._slots if slot.next_request is not None)
        before = self.throughput.wait_seconds(sent_ahead + self.waiting.ahead_of(params), 1)
        rest = self.throughput.rest_seconds(self.running, time.monotonic())
        return (before + rest) / max(1, len(self._slots))

    def _expire(self, item: Item[QueuedUtterance]) -> None:
        """Refuse an utterance that has waited as long as it may, or whose wait is still predicted to be too long."""
        if not item.work.is_waiting:
            return
        limit_seconds = item.params.max_wait_seconds or 0.0
        left_seconds = item.arrived + limit_seconds - time.monotonic()
        sent_ahead = any(slot.next_request is item for slot in self._slots)
        others = replace(item.params, due=item.order[0])
        own_seconds = 0.0 if sent_ahead else self.throughput.wait_seconds(item.cost, len(self._slots))
        predicted_seconds = max(self._predicted_wait_seconds(others) - own_seconds, 0.0)
        if left_seconds > 0 and (sent_ahead or predicted_seconds <= limit_seconds):
            item.work.expiry = asyncio.get_running_loop().call_later(left_seconds, self._expire, item)
            return
        self._withdraw(item)
        if any(slot.loaded for slot in self._slots):
            item.work.refuse(_overloaded(predicted_seconds))
        else:  # an engine's failure, for which a fallback may speak
            item.work.refuse(EngineNotReady("The engine is not loaded yet; the server restarts it."))

    def _has_used_its_part(self, tenant: str) -> bool:
        """Whether the tenant has its part of a full queue; one with nothing queued always finds room."""
        waiting = self.waiting.depth(tenant)
        others = self.waiting.tenants - (waiting > 0)
        return waiting >= MAX_QUEUED / (others + 1)

    def _withdraw(self, item: Item[QueuedUtterance]) -> None:
        """Remove a cancelled utterance, wherever it is."""
        assignment = item.work.assignment
        if self.waiting.remove(item):
            return
        if assignment.done() and not assignment.cancelled() and assignment.exception() is None:
            slot, member = assignment.result()
            if member is not None:
                member.cancel()
            elif slot.worker.at_rest:
                self.offer(slot)
            else:
                self._on_abandoned(slot)
        elif (holder := next((slot for slot in self._slots if slot.next_request is item), None)) is not None:
            holder.worker.cancel_next()
        else:
            self.batches.withdraw(item)

    def _others_busy(self, slot: WorkerSlot) -> bool:
        return any(each.loaded and each is not slot and each not in self.idle for each in self._slots)

    def _start_batch(self, slot: WorkerSlot, items: list[Item[QueuedUtterance]]) -> None:
        """Start with these utterances; a single one gets the worker for itself."""
        if not items:
            self.offer(slot)
            return
        self._hooks.on_batch(len(items))
        if len(items) == 1:
            slot.assign(items[0])
            return
        slot.assigned_at = time.monotonic()
        batch = Batch(slot.worker, [item.work.utterance for item in items])
        for item, member in zip(items, batch.members, strict=True):
            item.work.assignment.set_result((slot, member))
        self._on_batch(slot, batch, sum(item.cost for item in items))


def _overloaded(seconds: float) -> Overloaded:
    return Overloaded("Too many requests are queued. Retry later.", retry_after_seconds=seconds)
