"""Keeps a working worker in every slot of a pool: replaces workers that crash, hang or outgrow their memory."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

from tts_server.errors import EngineCrashed, EngineError
from tts_server.inference.pool.dispatcher import Dispatcher
from tts_server.inference.pool.slot import WorkerSlot
from tts_server.inference.pool.worker_client import WorkerClient

log = structlog.get_logger(__name__)

FIRST_BACKOFF_SECONDS = 0.2
LONGEST_BACKOFF_SECONDS = 30.0
WATCH_SECONDS = 0.5
EXCESS = 1.25
"""Factor of the memory limit at which a running worker is killed; between utterances the limit itself holds."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How the workers of one engine are started, and the memory that each may use."""

    engine: str
    threads: int
    load_timeout_seconds: float
    memory_limit_bytes: int | None


class WorkerSupervisor:
    """Starts, replaces and stops the workers of one engine.

    A worker that fails is replaced at once, the second time in a row after 0.2 s, then after twice as long each time,
    up to 30 s. `on_restart` is called with the reason: `crashed`, `stuck` (did not stop when cancelled),
    `invalid_output` or `memory`.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        slots: Sequence[WorkerSlot],
        dispatcher: Dispatcher,
        on_restart: Callable[[str], None] | None,
    ) -> None:
        self._settings = settings
        self._slots = slots
        self._dispatcher = dispatcher
        self._on_restart = on_restart
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = False

    @property
    def ready(self) -> bool:
        """Whether a worker is loaded or about to be: one failure is an accident, two in a row are a crash loop."""
        return self._running and any(slot.loaded or slot.failures < 2 for slot in self._slots)

    async def load(self) -> None:
        """Start every worker. Raises `EngineError` if one cannot load; none is left then."""
        try:
            async with asyncio.TaskGroup() as group:
                for slot in self._slots:
                    group.create_task(slot.worker.start(self._settings.load_timeout_seconds))
        except BaseExceptionGroup as failures:
            await self.stop()
            raise failures.exceptions[0] from None
        except BaseException:
            await self.stop()
            raise

    def serve(self) -> None:
        """Offer the loaded workers to the dispatcher, and watch their memory."""
        self._running = True
        for slot in self._slots:
            slot.loaded = True
            self._dispatcher.offer(slot)
        if self._settings.memory_limit_bytes is not None:
            self.spawn(self._watch_memory(self._settings.memory_limit_bytes))

    async def stop(self) -> None:
        """Fail all utterances and end every worker. Safe to call twice, and before `load`."""
        self._running = False
        for task in self._tasks:
            task.cancel()
        self._dispatcher.close(EngineCrashed("The engine is stopping."))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(slot.worker.stop() for slot in self._slots))

    def release(self, slot: WorkerSlot, *, failed: bool, invalid_audio: bool) -> None:
        """Take a slot back after its utterance or batch: offer it again or replace its worker. Ignored after `stop`."""
        if not self._running:
            return
        if slot.worker.at_rest and not invalid_audio:
            self._check(slot, failed=failed)
        else:  # in a task: a client that disconnected need not wait until the engine has stopped
            self.spawn(self._settle(slot, failed=failed, invalid_audio=invalid_audio))

    def replace(self, slot: WorkerSlot, reason: str) -> None:
        """Replace the slot's worker."""
        slot.loaded = False
        self._dispatcher.requeue_next(slot)
        if reason != "memory" and not slot.pardons_failure:
            slot.failures += 1
        slot.pardons_failure = False
        self.spawn(self._restart(slot, reason))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in a task that `stop` cancels."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _settle(self, slot: WorkerSlot, *, failed: bool, invalid_audio: bool) -> None:
        was_alive = slot.worker.alive
        if invalid_audio and was_alive:
            self.replace(slot, "invalid_output")
        elif not await slot.worker.settle():
            self.replace(slot, "stuck" if was_alive else "crashed")
        else:
            self._check(slot, failed=failed)

    def _check(self, slot: WorkerSlot, *, failed: bool) -> None:
        """Offer a slot whose worker is at rest, unless the worker is dead or too large."""
        limit_bytes = self._settings.memory_limit_bytes
        slot.over_memory_limit = limit_bytes is not None and slot.worker.resident_bytes() > limit_bytes
        if not slot.worker.alive:
            self.replace(slot, "crashed")
        elif slot.over_memory_limit and slot.next_request is None:
            self.replace(slot, "memory")
        else:
            slot.failures = slot.failures if failed else 0
            slot.pardons_failure = False
            self._dispatcher.offer(slot)

    async def _restart(self, slot: WorkerSlot, reason: str) -> None:
        engine = self._settings.engine
        while self._running:
            log.info("worker restarts", engine=engine, pid=slot.worker.pid, reason=reason)
            if self._on_restart is not None:
                self._on_restart(reason)
            if not self.ready:
                self._dispatcher.refuse(EngineCrashed(f"Engine {engine} is in a crash loop; the server restarts it."))
            await slot.worker.kill()
            if slot.failures > 1:
                await asyncio.sleep(min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** (slot.failures - 2)))
            slot.worker = WorkerClient(engine, self._settings.threads)
            try:
                await slot.worker.start(self._settings.load_timeout_seconds)
            except EngineError as error:
                slot.failures += 1
                reason = "crashed"
                log.warning("engine failed to load", engine=engine, reason=error.message)
                continue
            slot.loaded = True
            self._dispatcher.offer(slot)
            return

    async def _watch_memory(self, limit_bytes: int) -> None:
        """Kill a worker far over its limit before the kernel kills the pod: its utterance fails as in a crash."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            for slot in self._slots:
                size = slot.worker.resident_bytes() if slot.loaded else 0
                if size > EXCESS * limit_bytes:
                    log.error("worker killed: memory limit", engine=self._settings.engine, resident_bytes=size)
                    with suppress(ProcessLookupError):
                        await slot.worker.kill()
