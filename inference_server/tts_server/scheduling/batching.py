"""Decides which utterances an engine synthesizes in one pass, and how long the first waits for others. Pure.

An engine that can batch is measured when it loads. If a full batch is hardly faster than its utterances one after
another, each utterance runs alone: in a batch each would wait for the others.

Under load no batch waits for company: utterances that arrive while the engine is busy are queued, and start together
when it is free. A lone utterance does not wait either. Only while others are running or queued, and so more are likely
to come, the first gives them a moment, counted from its own arrival.
"""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tts_server.scheduling.fair_queue import Item, Priority, SchedulingParams

LEAST_GAIN = 1.25
"""Least speed-up by a batch: below it, a batch gains less than its members lose by waiting for each other."""

Work = TypeVar("Work")


@dataclass(frozen=True, slots=True)
class BatchCost:
    """Time that an engine took for the same text alone and in a batch, measured when it was loaded."""

    size: int
    """Number of utterances in the batch."""
    single_seconds: float
    """Duration of one utterance alone."""
    batch_seconds: float
    """Duration of the batch."""

    @property
    def gain(self) -> float:
        """Speed-up by the batch; 0 if its duration was too short to measure."""
        return self.size * self.single_seconds / self.batch_seconds if self.batch_seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """Limits of a batch."""

    size: int
    """Most utterances in one batch."""
    wait_seconds: float
    """Longest time that the first utterance waits for others."""


def worth_batching(configured: BatchPolicy | None, measured: BatchCost | None) -> BatchPolicy | None:
    """Return the policy for an engine with this configuration and cost; None if it should not batch."""
    if configured is None or measured is None:
        return None
    size = min(configured.size, measured.size)
    return BatchPolicy(size, configured.wait_seconds) if size > 1 and measured.gain >= LEAST_GAIN else None


@dataclass(eq=False, slots=True)
class PendingBatch(Generic[Work]):
    """A batch that has not started: its leader was next in the queue, the others are of the leader's kind."""

    policy: BatchPolicy
    kind: object
    """Only utterances of equal kind can share a batch: same precision, same voice group of the engine."""
    leader: Item[Work]
    items: list[Item[Work]] = field(init=False)

    def __post_init__(self) -> None:
        self.items = [self.leader]

    @property
    def full(self) -> bool:
        """Whether it has its most members."""
        return len(self.items) >= self.policy.size

    def accepts(self, kind: object, params: SchedulingParams, cost: float) -> bool:
        """Whether an utterance may join.

        One of priority batch may take a place beside interactive ones, but must not make them wait: it may not be
        longer than the longest of them.
        """
        if self.full or kind != self.kind:
            return False
        urgent = [item.cost for item in self.items if item.params.priority is Priority.INTERACTIVE]
        return params.priority is Priority.INTERACTIVE or not urgent or cost <= max(urgent)

    def wait_seconds(self, now: float, *, company: bool) -> float:
        """Return how long it stays open; `company` is whether other utterances of the engine are running or queued."""
        if self.full or not (company or len(self.items) > 1):
            return 0.0
        return max(0.0, self.leader.arrived + self.policy.wait_seconds - now)
