"""A slot of the pool, which always has one worker, and an utterance in the queue for a slot."""

import asyncio
import time
from dataclasses import dataclass, field

from tts_server.errors import TTSError
from tts_server.inference.client import Utterance
from tts_server.inference.pool.batch import Member
from tts_server.inference.pool.worker_client import WorkerClient
from tts_server.scheduling.fair_queue import Item


class WorkerSlot:
    """A slot for one worker, which is replaced when it fails.

    starting -> idle <-> busy -> settling -> idle            normally
       ^                  |         |
       +-- (backoff) -----+---------+                        crashed, stuck, over its memory limit
    """

    def __init__(self, worker: WorkerClient) -> None:
        self.worker = worker
        self.failures = 0
        """Consecutive failures since its worker last completed an utterance."""
        self.loaded = False
        """Whether the worker is loaded: idle, busy or settling."""
        self.pardons_failure = False
        """Whether the next failure does not count: after a failed batch each member is first tried alone."""
        self.assigned_at = 0.0
        """`time.monotonic()` of the last assignment."""
        self.next_request: Item[QueuedUtterance] | None = None
        """Utterance already sent to the worker, to be run next."""
        self.sending_next: asyncio.TimerHandle | None = None
        """Timer of the next prefetch; None while none is planned."""
        self.over_memory_limit = False
        """Whether the worker is over its memory limit after an utterance while the next one is already running.

        Nothing is sent ahead then, so that the worker is replaced after that utterance.
        """

    def assign(self, item: "Item[QueuedUtterance]") -> None:
        """Give the worker to one utterance alone."""
        self.assigned_at = time.monotonic()
        item.work.assignment.set_result((self, None))


Assignment = tuple[WorkerSlot, Member | None]
"""A slot, and the member of its batch; None if the utterance has the worker for itself."""


@dataclass(eq=False, slots=True)
class QueuedUtterance:
    """An utterance that waits for its assignment."""

    utterance: Utterance
    batchable: bool
    """Whether it may be in a batch."""
    assignment: asyncio.Future[Assignment] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    expiry: asyncio.TimerHandle | None = None
    """Refuses it when it has waited for too long; None if it may wait for ever."""

    @property
    def is_waiting(self) -> bool:
        """Whether it is still needed: neither assigned nor refused nor cancelled."""
        return not self.assignment.done()

    def refuse(self, error: TTSError) -> None:
        """Reject the queued utterance."""
        if self.is_waiting:
            self.assignment.set_exception(error)
