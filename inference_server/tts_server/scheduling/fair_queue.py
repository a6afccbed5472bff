"""A fair queue: interactive before batch, tenants by weight, within a tenant what is due first. Pure: takes its clock.

Start-time fair queueing (Goyal, Vin, Cheng, 1996) over the cost of each item: every tenant has a virtual time that
advances by cost / weight when it is served, and the tenant that is furthest behind is next. A tenant that was idle
begins at the current virtual time: idling earns no credit.

The first utterance of a reply is due on its arrival, a later one when the client has played what precedes it. So a
first utterance does not wait for later ones that are not needed yet, and a client that is playing does not wait for
another's first.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Generic, TypeVar

MOST_LATE_SECONDS = 1.0
"""By how much an item may precede one that came before it because it is late."""
Work = TypeVar("Work")


class Priority(Enum):
    """Priority of a request. The value is that of the `X-TTS-Priority` header."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


@dataclass(frozen=True, slots=True)
class SchedulingParams:
    """Determines when an utterance runs."""

    tenant: str = ""
    weight: float = 1.0
    """Weight of the tenant: twice the weight gets twice as much served while others are queued too."""
    priority: Priority = Priority.INTERACTIVE
    ages_after_seconds: float = 5.0
    """Time in the queue after which a batch item competes as an interactive one."""
    max_wait_seconds: float | None = None
    """Longest predicted wait at which it is accepted; None accepts any."""
    due: float | None = None
    """When it is needed, on the queue's clock; None for its arrival. Much earlier than that counts as a second."""
    reply: object | None = field(default=None, compare=False)
    """Identity of the reply that it belongs to: `promote` applies to all items of a reply."""


@dataclass(eq=False, slots=True)
class Item(Generic[Work]):
    """A queued item. `number` grows with arrival."""

    work: Work
    params: SchedulingParams
    cost: float
    arrived: float
    number: int
    charge: tuple[float, float] | None = None
    """Virtual start of its tenant before it was popped and after; None while it is queued."""

    @property
    def order(self) -> tuple[float, int]:
        """Sort key among the items of its tenant and priority.

        One that is late overtakes only those that came in the last second: else a reply of an engine that is slower
        than playback, whose items are later and later, would keep everybody else waiting to its end.
        """
        return _due_time(self.params, self.arrived), self.number


def _due_time(params: SchedulingParams, arrived: float) -> float:
    return arrived if params.due is None else max(params.due, arrived - MOST_LATE_SECONDS)


def _order(item: Item[Work]) -> tuple[float, int]:
    return item.order


def _due(item: Item[Work]) -> float:
    return item.order[0]


Accepts = Callable[[Item[Work]], bool]
"""Whether an item may be next."""


@dataclass(slots=True)
class _Flow(Generic[Work]):
    """The queue of one tenant."""

    start: float
    """Virtual time at which its next item begins."""
    waiting: dict[Priority, list[Item[Work]]] = field(default_factory=lambda: {p: [] for p in Priority})
    """Items of each priority, sorted by `Item.order`."""

    def heads(self, accepts: Accepts[Work] | None) -> Iterator[Item[Work]]:
        """Yield the first accepted item of each priority."""
        for items in self.waiting.values():
            found = next((item for item in items if accepts is None or accepts(item)), None)
            if found is not None:
                yield found


class FairQueue(Generic[Work]):
    """Fair queue of many tenants. `on_depth` is called with a tenant and the number of its items when that changes.

    `push`, `pop` and `remove` take time in proportion to the number of queued tenants, not of items; `ahead_of` in
    proportion to the number of items.
    """

    def __init__(self, now: Callable[[], float], on_depth: Callable[[str, int], None] = lambda _, __: None) -> None:
        self._now = now
        self._on_depth = on_depth
        self._flows: dict[str, _Flow[Work]] = {}
        self._virtual = 0.0
        self._numbers = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Item[Work]]:
        """Yield all queued items, in no order."""
        for flow in self._flows.values():
            for items in flow.waiting.values():
                yield from items

    def depth(self, tenant: str) -> int:
        """Return the number of queued items of a tenant."""
        flow = self._flows.get(tenant)
        return sum(len(items) for items in flow.waiting.values()) if flow is not None else 0

    @property
    def tenants(self) -> int:
        """Number of tenants with queued items."""
        return sum(any(flow.waiting.values()) for flow in self._flows.values())

    def push(self, work: Work, params: SchedulingParams, cost: float) -> Item[Work]:
        """Add an item. `cost` is positive, in any unit that all items share."""
        self._numbers += 1
        item = Item(work, params, cost, self._now(), self._numbers)
        self._insert(item)
        return item

    def pop(self, accepts: Accepts[Work] | None = None) -> Item[Work] | None:
        """Remove and return the next accepted item; None if there is none."""
        found = self._next(accepts)
        if found is None:
            return None
        flow = self._flows[found.params.tenant]
        self._virtual = max(self._virtual, flow.start)
        before, flow.start = flow.start, self._virtual + found.cost / found.params.weight
        found.charge = before, flow.start
        self.remove(found)
        for tenant in [name for name, flow in self._flows.items() if flow.start <= self._virtual]:
            self._forget(tenant)
        return found

    def put_back(self, item: Item[Work]) -> None:
        """Return an item that was popped but not served to its place; its tenant is not charged for it."""
        charge, item.charge = item.charge, None
        if charge is not None and (flow := self._flows.get(item.params.tenant)) is not None:
            before, after = charge
            # Exactly as it was, if nothing was popped since: a difference loses bits, and so the place in a tie.
            flow.start = before if flow.start == after else flow.start - item.cost / item.params.weight
        self._insert(item)

    def remove(self, item: Item[Work]) -> bool:
        """Remove an item; return whether it was queued. Its tenant's virtual time is kept as long as it matters."""
        flow = self._flows.get(item.params.tenant)
        if flow is None:
            return False
        waiting = flow.waiting[item.params.priority]
        place = bisect_left(waiting, item.order, key=_order)
        if place == len(waiting) or waiting[place] is not item:
            return False
        del waiting[place]
        self._size -= 1
        self._on_depth(item.params.tenant, self.depth(item.params.tenant))
        return True

    def promote(self, reply: object) -> None:
        """Make the queued items of this reply interactive, each in the place that its order gives it there."""
        for item in [item for item in self if item.params.reply is reply and item.params.priority is Priority.BATCH]:
            waiting = self._flows[item.params.tenant].waiting
            waiting[Priority.BATCH].remove(item)
            item.params = replace(item.params, priority=Priority.INTERACTIVE)
            insort(waiting[Priority.INTERACTIVE], item, key=_order)

    def ahead_of(self, params: SchedulingParams) -> float:
        """Return the cost of queued items that are served before an item with these parameters that arrives now.

        Of another tenant, however much it has queued, only items that begin before it in virtual time count.
        """
        due = _due_time(params, self._now())
        own = self._flows.get(params.tenant)
        before = self._before(own, params, due) if own is not None else 0.0
        begins = self._start(own) + before / params.weight
        for flow in self._flows.values():
            if flow is own:
                continue
            start = self._start(flow)
            for item in self._served(flow, params):
                # Urgent items precede all others, and are ahead of the first of those.
                if start > begins and not (params.priority is Priority.BATCH and self._is_urgent(item)):
                    break
                before += item.cost
                start += item.cost / item.params.weight
        return before

    def _insert(self, item: Item[Work]) -> None:
        params = item.params
        flow = self._flows.get(params.tenant)
        if flow is None:
            flow = self._flows[params.tenant] = _Flow(self._virtual)
        insort(flow.waiting[params.priority], item, key=_order)
        self._size += 1
        self._on_depth(params.tenant, self.depth(params.tenant))

    def _next(self, accepts: Accepts[Work] | None) -> Item[Work] | None:
        heads = [head for flow in self._flows.values() for head in flow.heads(accepts)]
        urgent = [head for head in heads if self._is_urgent(head)]
        return min(urgent or heads, key=self._service_order, default=None)

    def _service_order(self, item: Item[Work]) -> tuple[float, int]:
        return max(self._flows[item.params.tenant].start, self._virtual), item.number

    def _start(self, flow: _Flow[Work] | None) -> float:
        """Return when its next item begins, in virtual time."""
        return self._virtual if flow is None else max(flow.start, self._virtual)

    def _before(self, flow: _Flow[Work], params: SchedulingParams, due: float) -> float:
        """Return the cost of what is served before such an item of the same tenant."""
        same_priority = flow.waiting[params.priority]
        cost = sum(item.cost for item in same_priority[: bisect_right(same_priority, due, key=_due)])
        if params.priority is Priority.BATCH:
            return cost + sum(item.cost for item in flow.waiting[Priority.INTERACTIVE])
        return cost + sum(item.cost for item in flow.waiting[Priority.BATCH] if self._is_urgent(item))

    def _served(self, flow: _Flow[Work], params: SchedulingParams) -> Iterator[Item[Work]]:
        """Yield the items of another tenant that compete with such an item, in the order in which they are served."""
        batch = flow.waiting[Priority.BATCH]
        yield from flow.waiting[Priority.INTERACTIVE]
        yield from (item for item in batch if self._is_urgent(item))
        if params.priority is Priority.BATCH:
            yield from (item for item in batch if not self._is_urgent(item))

    def _is_urgent(self, item: Item[Work]) -> bool:
        if item.params.priority is Priority.INTERACTIVE:
            return True
        return self._now() - item.arrived >= item.params.ages_after_seconds

    def _forget(self, tenant: str) -> None:
        if not any(self._flows[tenant].waiting.values()):
            del self._flows[tenant]
