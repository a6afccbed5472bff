"""Who is next: interactive before batch, tenants by weight, of each tenant what is due first. Pure, on a given clock.

Start-time fair queueing (Goyal, Vin, Cheng, 1996) over the cost of each item: every tenant has a virtual time that
advances by cost / weight when it is served, and the tenant that is furthest behind is next. One that had nothing to do
begins at the present virtual time: idling earns no credit.

What a listener waits for is due on its arrival, and what follows when that has been heard to its end: so a first
sentence does not wait for sentences that nobody needs yet, nor does anybody who listens wait for first sentences.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Generic, TypeVar

Work = TypeVar("Work")


class Priority(Enum):
    """Of a request; the value is the header's."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


@dataclass(frozen=True, slots=True)
class SchedulingParams:
    """What decides when an utterance is spoken."""

    tenant: str = ""
    weight: float = 1.0
    """Of the tenant: with twice as much it is served twice as many characters while others wait too."""
    priority: Priority = Priority.INTERACTIVE
    ages_after_seconds: float = 5.0
    """Of batch: after this wait it competes as if it were interactive."""
    max_wait_seconds: float | None = None
    """It is refused on arrival where it would wait longer; None: it waits."""
    due: float | None = None
    """When it is needed, on the queue's clock; None: as soon as it arrives."""
    reply: object | None = field(default=None, compare=False)
    """What it is a part of, by identity: all that waits of it becomes more urgent at once."""


@dataclass(eq=False, slots=True)
class Item(Generic[Work]):
    """Something that waits. `number` grows with arrival."""

    work: Work
    turn: SchedulingParams
    cost: float
    arrived: float
    number: int

    @property
    def order(self) -> tuple[float, int]:
        """Among those of its tenant and priority."""
        return self.arrived if self.turn.due is None else self.turn.due, self.number


def _order(item: Item[Work]) -> tuple[float, int]:
    return item.order


def _due(item: Item[Work]) -> float:
    return item.order[0]


Accepts = Callable[[Item[Work]], bool]
"""Whether somebody may be next."""


@dataclass(slots=True)
class _Flow(Generic[Work]):
    """One tenant's."""

    start: float
    """Virtual time at which its next item begins."""
    waiting: dict[Priority, list[Item[Work]]] = field(default_factory=lambda: {p: [] for p in Priority})
    """In their order."""

    def heads(self, accepts: Accepts[Work] | None) -> Iterator[Item[Work]]:
        """The first of each priority, of those that are accepted."""
        for items in self.waiting.values():
            found = next((item for item in items if accepts is None or accepts(item)), None)
            if found is not None:
                yield found


class FairQueue(Generic[Work]):
    """To push, pop and remove takes time in proportion to the tenants that wait, not to their items; to say what is
    ahead of one, in proportion to the items.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._flows: dict[str, _Flow[Work]] = {}
        self._virtual = 0.0
        self._numbers = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Item[Work]]:
        """All that waits, in no order."""
        for flow in self._flows.values():
            for items in flow.waiting.values():
                yield from items

    def depth(self, tenant: str) -> int:
        """How many of this tenant wait."""
        flow = self._flows.get(tenant)
        return sum(len(items) for items in flow.waiting.values()) if flow is not None else 0

    @property
    def tenants(self) -> int:
        """How many of them wait."""
        return sum(any(flow.waiting.values()) for flow in self._flows.values())

    def push(self, work: Work, turn: SchedulingParams, cost: float) -> Item[Work]:
        """Let it wait. `cost` is positive, in any unit that all items share."""
        self._numbers += 1
        item = Item(work, turn, cost, self._now(), self._numbers)
        self._insert(item)
        return item

    def pop(self, accepts: Accepts[Work] | None = None) -> Item[Work] | None:
        """Who is next, of those that are accepted; it waits no more. None when nobody does."""
        found = self._next(accepts)
        if found is None:
            return None
        flow = self._flows[found.turn.tenant]
        self._virtual = max(self._virtual, flow.start)
        flow.start = self._virtual + found.cost / found.turn.weight
        self.remove(found)
        for tenant in [name for name, flow in self._flows.items() if flow.start <= self._virtual]:
            self._forget(tenant)
        return found

    def put_back(self, item: Item[Work]) -> None:
        """It was popped, and not served: it waits again as before, and has cost its tenant nothing."""
        if (flow := self._flows.get(item.turn.tenant)) is not None:
            flow.start -= item.cost / item.turn.weight
        self._insert(item)

    def remove(self, item: Item[Work]) -> bool:
        """It waits no more; whether it did. A tenant's past is kept until it counts no longer."""
        flow = self._flows.get(item.turn.tenant)
        if flow is None:
            return False
        waiting = flow.waiting[item.turn.priority]
        place = bisect_left(waiting, item.order, key=_order)
        if place == len(waiting) or waiting[place] is not item:
            return False
        del waiting[place]
        self._size -= 1
        return True

    def promote(self, reply: object) -> None:
        """What waits of this reply is interactive from now on, in the place that its order gives it there."""
        for item in [item for item in self if item.turn.reply is reply and item.turn.priority is Priority.BATCH]:
            waiting = self._flows[item.turn.tenant].waiting
            waiting[Priority.BATCH].remove(item)
            item.turn = replace(item.turn, priority=Priority.INTERACTIVE)
            insort(waiting[Priority.INTERACTIVE], item, key=_order)

    def ahead_of(self, turn: SchedulingParams) -> float:
        """The cost of what is served before an item that arrives now, as far as it waits already.

        Of another tenant, however much of it waits, that is only what begins, in virtual time, before the item does.
        """
        due = self._now() if turn.due is None else turn.due
        own = self._flows.get(turn.tenant)
        before = self._before(own, turn, due) if own is not None else 0.0
        begins = self._start(own) + before / turn.weight
        for flow in self._flows.values():
            if flow is own:
                continue
            start = self._start(flow)
            for item in self._served(flow, turn):
                # Whoever is urgent goes before all that is not, and counts as the first of what is not.
                if start > begins and not (turn.priority is Priority.BATCH and self._is_urgent(item)):
                    break
                before += item.cost
                start += item.cost / item.turn.weight
        return before

    def _insert(self, item: Item[Work]) -> None:
        turn = item.turn
        flow = self._flows.get(turn.tenant)
        if flow is None:
            flow = self._flows[turn.tenant] = _Flow(self._virtual)
        insort(flow.waiting[turn.priority], item, key=_order)
        self._size += 1

    def _next(self, accepts: Accepts[Work] | None) -> Item[Work] | None:
        heads = [head for flow in self._flows.values() for head in flow.heads(accepts)]
        urgent = [head for head in heads if self._is_urgent(head)]
        return min(urgent or heads, key=self._turn_of, default=None)

    def _turn_of(self, item: Item[Work]) -> tuple[float, int]:
        return max(self._flows[item.turn.tenant].start, self._virtual), item.number

    def _start(self, flow: _Flow[Work] | None) -> float:
        """When its next item begins, in virtual time."""
        return self._virtual if flow is None else max(flow.start, self._virtual)

    def _before(self, flow: _Flow[Work], turn: SchedulingParams, due: float) -> float:
        """The cost of what is served before such an item of the same tenant."""
        alike = flow.waiting[turn.priority]
        cost = sum(item.cost for item in alike[: bisect_right(alike, due, key=_due)])
        if turn.priority is Priority.BATCH:
            return cost + sum(item.cost for item in flow.waiting[Priority.INTERACTIVE])
        return cost + sum(item.cost for item in flow.waiting[Priority.BATCH] if self._is_urgent(item))

    def _served(self, flow: _Flow[Work], turn: SchedulingParams) -> Iterator[Item[Work]]:
        """Those of one tenant that compete with such an item, in the order in which they are served."""
        batch = flow.waiting[Priority.BATCH]
        yield from flow.waiting[Priority.INTERACTIVE]
        yield from (item for item in batch if self._is_urgent(item))
        if turn.priority is Priority.BATCH:
            yield from (item for item in batch if not self._is_urgent(item))

    def _is_urgent(self, item: Item[Work]) -> bool:
        if item.turn.priority is Priority.INTERACTIVE:
            return True
        return self._now() - item.arrived >= item.turn.ages_after_seconds

    def _forget(self, tenant: str) -> None:
        if not any(self._flows[tenant].waiting.values()):
            del self._flows[tenant]
