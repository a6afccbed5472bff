"""Limits how many requests a speech server has at once: the others are queued here, in the order of the fair queue."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tts_server.errors import Overloaded, TTSError
from tts_server.scheduling.fair_queue import FairQueue, Priority, SchedulingParams

Slot = asyncio.Future[None]
MOST_QUEUED = 1024


class ConcurrencyLimit:
    """Gives out `limit` slots; None gives every request one at once."""

    def __init__(
        self,
        model: str,
        limit: int | None,
        *,
        on_wait: Callable[[str, float], None] = lambda _, __: None,
        on_depth: Callable[[str, int], None] = lambda _, __: None,
    ) -> None:
        self._model = model
        self._free = limit
        self._on_wait = on_wait
        self._waiting: FairQueue[Slot] = FairQueue(time.monotonic, on_depth)

    @asynccontextmanager
    async def slot(self, params: SchedulingParams, cost: float) -> AsyncIterator[None]:
        """Hold a slot.

        Raises `Overloaded` after `params.max_wait_seconds`, and what `refuse` refuses the queue with.
        """
        if self._free is None:
            yield
            return
        if self._free > 0 and not len(self._waiting):
            self._free -= 1
            self._on_wait(params.tenant, 0.0)
        else:
            await self._wait(params, cost)
        try:
            yield
        finally:
            self._pass_on()

    def promote(self, reply: object) -> None:
        """Make the queued requests of this reply interactive."""
        self._waiting.promote(reply)

    def refuse(self, error: TTSError, priority: Priority | None = None) -> None:
        """Fail queued requests: all of them, or those of one priority."""
        for item in [item for item in self._waiting if priority in {None, item.params.priority}]:
            self._waiting.remove(item)
            if not item.work.done():
                item.work.set_exception(error)

    async def _wait(self, params: SchedulingParams, cost: float) -> None:
        if len(self._waiting) >= MOST_QUEUED:
            raise self._overloaded()
        slot: Slot = asyncio.get_running_loop().create_future()
        item = self._waiting.push(slot, params, cost)
        arrived = item.arrived
        try:
            async with asyncio.timeout(params.max_wait_seconds):
                await slot
        except TimeoutError:
            self._withdraw(slot)
            raise self._overloaded() from None
        except asyncio.CancelledError:
            self._withdraw(slot)
            raise
        finally:
            self._waiting.remove(item)
        self._on_wait(params.tenant, time.monotonic() - arrived)

    def _withdraw(self, slot: Slot) -> None:
        """Pass on a slot that was given in the same moment in which its request gave up."""
        if slot.done() and not slot.cancelled() and slot.exception() is None:
            self._pass_on()

    def _pass_on(self) -> None:
        assert self._free is not None  # noqa: S101 - without a limit there are no slots
        while (item := self._waiting.pop()) is not None:
            if not item.work.done():
                item.work.set_result(None)
                return
        self._free += 1

    def _overloaded(self) -> Overloaded:
        return Overloaded(f"Too many requests wait for the speech server of model {self._model}.")
