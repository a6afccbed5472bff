"""Which utterances are spoken in one pass of an engine, and how long the first waits for others. Pure.

An engine that can batch is measured when it loads. Where a full batch is hardly quicker than its utterances one after
another, everybody is spoken alone: a batch makes each of its members wait for the others.

Under load nobody waits for company: while the engine speaks, those who come meanwhile queue up, and go together when it
is free. A lone utterance does not wait either. Only where others are being spoken or queued already, and so more are
likely to come, the first gives them a moment, counted from its own arrival.
"""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tts_server.scheduling.fair_queue import Item, Priority, SchedulingParams

LEAST_GAIN = 1.25
"""Times as much in the same time. Below that, what a batch gains is less than what its members wait for each other."""

Work = TypeVar("Work")


@dataclass(frozen=True, slots=True)
class BatchCost:
    """What an engine took for the same words, when it was loaded."""

    size: int
    """Utterances in the batch."""
    single_seconds: float
    """For one alone."""
    batch_seconds: float
    """For all of the batch."""

    @property
    def gain(self) -> float:
        """How many times as much a batch speaks in the same time; 0 where a clock did not tell."""
        return self.size * self.single_seconds / self.batch_seconds if self.batch_seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How utterances share a pass of their engine."""

    size: int
    """Most of them."""
    wait_seconds: float
    """Longest that the first waits for others."""


def worth_sharing(wanted: BatchPolicy | None, measured: BatchCost | None) -> BatchPolicy | None:
    """What to do with an engine for which `wanted` is configured; None: everybody is spoken alone."""
    if wanted is None or measured is None:
        return None
    size = min(wanted.size, measured.size)
    return BatchPolicy(size, wanted.wait_seconds) if size > 1 and measured.gain >= LEAST_GAIN else None


@dataclass(eq=False, slots=True)
class PendingBatch(Generic[Work]):
    """A batch that has not begun: its leader is who was next in the queue, the others are of the leader's kind."""

    sharing: BatchPolicy
    kind: object
    """Only utterances of one kind can be spoken together: what that means, the engine says."""
    leader: Item[Work]
    items: list[Item[Work]] = field(init=False)

    def __post_init__(self) -> None:
        self.items = [self.leader]

    @property
    def full(self) -> bool:
        """Whether nobody else has room."""
        return len(self.items) >= self.sharing.size

    def accepts(self, kind: object, turn: SchedulingParams, cost: float) -> bool:
        """Whether one more may join.

        Work of priority batch fills places that nobody more urgent takes, but does not make the urgent wait: it is not
        longer than the longest of them.
        """
        if self.full or kind != self.kind:
            return False
        urgent = [item.cost for item in self.items if item.turn.priority is Priority.INTERACTIVE]
        return turn.priority is Priority.INTERACTIVE or not urgent or cost <= max(urgent)

    def wait_seconds(self, now: float, *, company: bool) -> float:
        """How long it is kept open; `company`: others of the engine's utterances are being spoken, or wait."""
        if self.full or not (company or len(self.items) > 1):
            return 0.0
        return max(0.0, self.leader.arrived + self.sharing.wait_seconds - now)
