"""Which of an engine's processes speaks what, and when: the queue, the free places, and batches that form."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tts_server.errors import Overloaded, TTSError
from tts_server.inference.client import Utterance
from tts_server.inference.pool.batch import Batch
from tts_server.inference.pool.slot import Assignment, QueuedUtterance, WorkerSlot
from tts_server.scheduling.batching import BatchPolicy, PendingBatch
from tts_server.scheduling.fair_queue import FairQueue, Item, Priority, SchedulingParams
from tts_server.scheduling.throughput import ThroughputEstimator

MOST_WAITING = 1024
"""Utterances: a bound where nothing is known yet of how long they will take. Tenants have equal parts of it."""
EARLY_SECONDS = 0.02
"""Before a process will have ended, by its pace, it is told who is next: what a busy event loop takes to hear of the
end and to answer, and what the pace is wrong by. Whoever comes within that time has to wait for one more.
"""


@dataclass(frozen=True, slots=True)
class DispatchHooks:
    """What the metrics hear."""

    on_wait: Callable[[str, float], None] = lambda _, __: None
    """A tenant, and the seconds that one of its utterances has waited."""
    on_depth: Callable[[str, int], None] = lambda _, __: None
    """A tenant, and how many of its utterances wait now."""
    on_batch: Callable[[int], None] = lambda _: None
    """How many utterances an engine that batches was given at once."""


@dataclass(eq=False, slots=True)
class _Gathering(PendingBatch[QueuedUtterance]):
    """One that begins when its timer runs out, at the latest."""

    timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Nobody joins any more."""
        if self.timer is not None:
            self.timer.cancel()


class Dispatcher:
    """Of one engine. Whoever takes a seat must see to it that its slot is offered again.

    `lost` is told of an idle process that has died, `begun` of a batch that is to run, with what it costs, `unheard` of
    a process that speaks what nobody waits for any more.
    """

    def __init__(
        self,
        slots: Sequence[WorkerSlot],
        hooks: DispatchHooks,
        *,
        lost: Callable[[WorkerSlot], None],
        begun: Callable[[WorkerSlot, Batch, float], None],
        unheard: Callable[[WorkerSlot], None],
    ) -> None:
        self.pace = ThroughputEstimator()
        self.spoken_cost = 0.0
        """Of what is being spoken now."""
        self.sharing: BatchPolicy | None = None
        """None: everybody is spoken alone."""
        self.idle: deque[WorkerSlot] = deque()
        self.waiting: FairQueue[QueuedUtterance] = FairQueue(time.monotonic)
        self.gatherings: dict[WorkerSlot, _Gathering] = {}
        """Batches that wait for company, by the place whose process will speak them."""
        self._slots = slots
        self._hooks = hooks
        self._lost = lost
        self._begun = begun
        self._unheard = unheard

    async def take(self, utterance: Utterance, turn: SchedulingParams, cost: float, *, shares: bool) -> Assignment:
        """Return when it can be spoken. Raises `Overloaded`, and whatever those who wait are refused with."""
        slot = self._free()
        if slot is not None and not shares:
            slot.given_at = time.monotonic()
            self._hooks.on_wait(turn.tenant, 0.0)
            return slot, None
        joined = self._open_gathering(utterance, turn, cost) if slot is None and shares else None
        if slot is None and joined is None:
            self._check_wait(turn)
        item = self.waiting.push(QueuedUtterance(utterance, shares), turn, cost)
        self._depth_changed(turn.tenant)
        if slot is not None:
            self.offer(slot)
        elif joined is not None:
            self._join(joined, item)
        try:
            seat = await item.work.seat
        except asyncio.CancelledError:
            self._withdraw(item)
            raise
        self._hooks.on_wait(turn.tenant, time.monotonic() - item.arrived)
        return seat

    def spoken(self, slot: WorkerSlot, cost: float) -> None:
        """Its process was asked for an utterance alone: shortly before the end of that, it is told the next one."""
        if self.sharing is not None or slot.tight or not self.pace.known:
            return
        seconds = self.pace.wait_seconds(cost, 1) - EARLY_SECONDS
        if seconds > 0:
            slot.sending_next = asyncio.get_running_loop().call_later(seconds, self._tell_ahead, slot)
        else:
            self._tell_ahead(slot)

    def rise(self, slot: WorkerSlot) -> None:
        """Nobody speaks there any more: what it was not told by now it is not told before it is offered."""
        if slot.sending_next is not None:
            slot.sending_next.cancel()
            slot.sending_next = None

    def requeue_next(self, slot: WorkerSlot) -> None:
        """What its process was told ahead is not heard from there: whoever wants it waits again."""
        item, slot.next_request = slot.next_request, None
        if item is None or not item.work.waits:
            return
        self.waiting.put_back(item)
        self._depth_changed(item.turn.tenant)
        if (free := self._free()) is not None:
            self.offer(free)

    def offer(self, slot: WorkerSlot) -> None:
        """Its process is free: whoever is next has it."""
        if (next_request := slot.next_request) is not None:
            slot.next_request = None
            slot.process.start_next()
            if next_request.work.waits:
                slot.give(next_request)
            else:
                self._unheard(slot)
            return
        if (item := self._next()) is not None:
            if self.sharing is not None and item.work.shares:
                self._gather(slot, item, self.sharing)
            else:
                slot.give(item)
            return
        for told in self._slots:  # better here and now than there and soon
            if told.next_request is not None and told.next_request.work.waits:
                told.process.cancel_next()
                slot.give(told.next_request)
                return
        self.idle.append(slot)

    def refuse(self, error: TTSError, priority: Priority | None = None) -> None:
        """Whoever waits for a process gets `error`: all of them, or those of one priority."""
        for item in list(self.waiting):
            if priority in {None, item.turn.priority}:
                self.waiting.remove(item)
                item.work.refuse(error)
                self._depth_changed(item.turn.tenant)
        for slot in self._slots:
            if slot.next_request is not None and priority in {None, slot.next_request.turn.priority}:
                slot.next_request.work.refuse(error)
                slot.process.cancel_next()

    def end(self, error: TTSError) -> None:
        """Nobody is spoken any more."""
        self.idle.clear()
        self.refuse(error)
        for gathering in self.gatherings.values():
            gathering.close()
            for item in gathering.items:
                item.work.refuse(error)
        self.gatherings.clear()

    def _free(self) -> WorkerSlot | None:
        while self.idle:
            slot = self.idle.popleft()
            if slot.process.alive:
                return slot
            self._lost(slot)  # it died while nobody spoke
        return None

    def _check_wait(self, turn: SchedulingParams) -> None:
        """Refuse at once who would wait too long: half of what is being spoken, and all that is before it."""
        full = len(self.waiting) >= MOST_WAITING and self._has_its_part(turn.tenant)
        if turn.max_wait_seconds is None and not full:
            return
        told = sum(slot.next_request.cost for slot in self._slots if slot.next_request is not None)
        before = self.spoken_cost / 2 + told + self.waiting.ahead_of(turn)
        seconds = self.pace.wait_seconds(before, len(self._slots))
        if full or (turn.max_wait_seconds is not None and seconds > turn.max_wait_seconds):
            raise Overloaded("Too much is waiting to be spoken.", retry_after_seconds=seconds)

    def _has_its_part(self, tenant: str) -> bool:
        """Of a full queue; one that waits for nothing else always finds room."""
        waiting = self.waiting.depth(tenant)
        others = self.waiting.tenants - (waiting > 0)
        return waiting >= MOST_WAITING / (others + 1)

    def _withdraw(self, item: Item[QueuedUtterance]) -> None:
        """Its caller has left."""
        seat = item.work.seat
        if self.waiting.remove(item):
            self._depth_changed(item.turn.tenant)
        elif seat.done() and not seat.cancelled() and seat.exception() is None:
            slot, member = seat.result()
            if member is not None:
                member.leave()
            elif slot.process.at_rest:
                self.offer(slot)
            else:
                self._unheard(slot)
        elif (told := next((slot for slot in self._slots if slot.next_request is item), None)) is not None:
            told.process.cancel_next()
        else:
            for place, found in list(self.gatherings.items()):
                if item in found.items:
                    found.items.remove(item)
                    if not found.items:
                        self._begin(place)

    def _tell_ahead(self, slot: WorkerSlot) -> None:
        if slot.next_request is None and (item := self._next()) is not None:
            slot.next_request = item
            slot.process.enqueue_next(item.work.utterance)

    def _next(self) -> Item[QueuedUtterance] | None:
        """Out of the queue. A caller may have left, and not have come round to leave it: those are passed over."""
        while (item := self.waiting.pop()) is not None:
            self._depth_changed(item.turn.tenant)
            if item.work.waits:
                return item
        return None

    def _kind(self, utterance: Utterance) -> object:
        """What all utterances of a batch have in common."""
        return utterance.precision, self._slots[0].process.voice_groups.get(utterance.voice, "")

    def _gather(self, slot: WorkerSlot, leader: Item[QueuedUtterance], sharing: BatchPolicy) -> None:
        """Begin a batch with whoever may join of those that wait, now or when others have had a moment to come."""
        gathering = _Gathering(sharing, self._kind(leader.work.utterance), leader)
        while (item := self.waiting.pop(lambda each: self._may_join(gathering, each))) is not None:
            self._depth_changed(item.turn.tenant)
            gathering.items.append(item)
        self.gatherings[slot] = gathering
        seconds = gathering.wait_seconds(time.monotonic(), company=len(self.waiting) > 0 or self._others_speak(slot))
        if seconds > 0:
            gathering.timer = asyncio.get_running_loop().call_later(seconds, self._begin, slot)
        else:
            self._begin(slot)

    def _others_speak(self, slot: WorkerSlot) -> bool:
        return any(each.up and each is not slot and each not in self.idle for each in self._slots)

    def _may_join(self, gathering: _Gathering, item: Item[QueuedUtterance]) -> bool:
        work = item.work
        return work.shares and gathering.accepts(self._kind(work.utterance), item.turn, item.cost)

    def _open_gathering(self, utterance: Utterance, turn: SchedulingParams, cost: float) -> WorkerSlot | None:
        """The place of a batch that waits for such a one."""
        kind = self._kind(utterance)
        return next((slot for slot, found in self.gatherings.items() if found.accepts(kind, turn, cost)), None)

    def _join(self, slot: WorkerSlot, item: Item[QueuedUtterance]) -> None:
        self.waiting.pop(lambda each: each is item)
        self._depth_changed(item.turn.tenant)
        gathering = self.gatherings[slot]
        gathering.items.append(item)
        if gathering.full:
            self._begin(slot)

    def _begin(self, slot: WorkerSlot) -> None:
        """With those who are still there; one that is left alone has the process for itself."""
        gathering = self.gatherings.pop(slot)
        gathering.close()
        items = [item for item in gathering.items if item.work.waits]
        if not items:
            self.offer(slot)
            return
        self._hooks.on_batch(len(items))
        if len(items) == 1:
            slot.give(items[0])
            return
        slot.given_at = time.monotonic()
        batch = Batch(slot.process, [item.work.utterance for item in items])
        for item, member in zip(items, batch.members, strict=True):
            item.work.seat.set_result((slot, member))
        self._begun(slot, batch, sum(item.cost for item in items))

    def _depth_changed(self, tenant: str) -> None:
        self._hooks.on_depth(tenant, self.waiting.depth(tenant))
