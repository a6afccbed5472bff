"""A place for an engine's process, and an utterance that waits for one."""

import asyncio
import time
from dataclasses import dataclass, field

from tts_server.errors import TTSError
from tts_server.inference.client import Utterance
from tts_server.inference.pool.batch import Member
from tts_server.inference.pool.worker_client import WorkerClient
from tts_server.scheduling.fair_queue import Item


class WorkerSlot:
    """A place for one process, which may have many processes in its life.

    starting -> idle <-> busy -> settling -> idle            the usual turns
       ^                  |         |
       +-- (backoff) -----+---------+                        crashed, stuck, too large
    """

    def __init__(self, process: WorkerClient) -> None:
        self.process = process
        self.failures = 0
        """In a row, since it last spoke to the end."""
        self.up = False
        """Whether the process is loaded: idle, busy or settling."""
        self.pardons = False
        """Whether its next failure does not count: each of a batch is tried alone before anybody is blamed."""
        self.given_at = 0.0
        """When somebody got it last."""
        self.next_request: Item[QueuedUtterance] | None = None
        """Who is next here: the process has been told its words."""
        self.sending_next: asyncio.TimerHandle | None = None
        """Until it is told; None while nobody speaks here alone."""
        self.tight = False
        """Whether it has more memory than it may: what it needs to speak does not count, and it may speak already.

        It is told nothing ahead then, so that it can be looked at between two utterances.
        """

    def give(self, item: "Item[QueuedUtterance]") -> None:
        """It is spoken here, alone."""
        self.given_at = time.monotonic()
        item.work.seat.set_result((self, None))


Assignment = tuple[WorkerSlot, Member | None]
"""Where an utterance is spoken: alone, or as a member of a batch."""


@dataclass(eq=False, slots=True)
class QueuedUtterance:
    """An utterance that waits for its place."""

    utterance: Utterance
    shares: bool
    """Whether it may be one of a batch."""
    seat: asyncio.Future[Assignment] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def waits(self) -> bool:
        """Whether its caller still does: it has neither got a place nor been refused, nor has it left."""
        return not self.seat.done()

    def refuse(self, error: TTSError) -> None:
        """It gets no place."""
        if self.waits:
            self.seat.set_exception(error)
