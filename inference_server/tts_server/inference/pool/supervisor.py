"""Keeps a working worker in every slot of a pool: replaces workers that crash, hang or outgrow their memory."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

from tts_server.errors import EngineCrashed, EngineError, EngineNotReady
from tts_server.inference.pool.dispatcher import Dispatcher
from tts_server.inference.pool.slot import WorkerSlot
from tts_server.inference.pool.template import WorkerTemplate
from tts_server.inference.pool.worker_client import WorkerClient
from tts_server.inference.pool.worker_process import WorkerCommand

log = structlog.get_logger(__name__)

FIRST_BACKOFF_SECONDS = 0.2
LONGEST_BACKOFF_SECONDS = 30.0
WATCH_SECONDS = 0.5
EXCESS = 1.25
"""Factor of the memory limit at which a running worker is killed; between utterances the limit itself holds."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How the workers of one engine are started, and the memory that each may use."""

    command: WorkerCommand
    load_timeout_seconds: float
    memory_limit_bytes: int | None
    first_audio_timeout_seconds: float
    """How long utterances wait for a worker while none is loaded."""
    on_unread: Callable[[str], None] = lambda _: None
    """Called with the reason of each part of a text whose numbers could not be written in words."""
    template: WorkerTemplate | None = None
    """Forks the workers; None: each loads the engine itself."""


class WorkerSupervisor:
    """Starts, replaces and stops the workers of one engine.

    A worker that fails is replaced at once, the second time in a row after 0.2 s, then after twice as long each time,
    up to 30 s, whatever the failure is. `on_restart` is called with the reason: `crashed`, `stuck` (did not stop when
    cancelled), `invalid_output` or `memory`.

    While no worker is loaded, utterances wait for the first-audio timeout; then all are refused until one is.
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
        self._load_deadline: asyncio.TimerHandle | None = None
        """Ends the wait for a worker; None unless utterances wait because none is loaded."""
        self._overdue = False
        """Whether no worker has been loaded for the first-audio timeout."""

    @property
    def ready(self) -> bool:
        """Whether a worker is loaded or about to be: one failure is an accident, two in a row are a crash loop."""
        if not self._running:
            return False
        return self._any_loaded or (not self._overdue and any(slot.failures < 2 for slot in self._slots))

    def not_ready(self) -> EngineError:
        """Return the error of an utterance that no worker can take."""
        if not self._running:
            return EngineCrashed("The engine is stopping.")
        loop = " in a crash loop" if all(slot.failures > 1 for slot in self._slots) else " not loaded"
        return EngineNotReady(f"Engine {self._settings.command.engine} is{loop}; the server restarts it.")

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
        """Offer the loaded workers to the dispatcher, and watch them."""
        self._running = True
        for slot in self._slots:
            self._offer_loaded(slot)
        self.spawn(self._watch())

    async def stop(self) -> None:
        """Fail all utterances and end every worker. Safe to call twice, and before `load`."""
        self._running = False
        self._cancel_load_deadline()
        for task in self._tasks:
            task.cancel()
        self._dispatcher.close(EngineCrashed("The engine is stopping."))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(slot.worker.stop() for slot in self._slots))
        if self._settings.template is not None:
            await self._settings.template.stop()

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
        if not self._any_loaded and self._load_deadline is None:
            loop = asyncio.get_running_loop()
            self._load_deadline = loop.call_later(self._settings.first_audio_timeout_seconds, self._give_up_waiting)
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

    @property
    def _any_loaded(self) -> bool:
        return any(slot.loaded for slot in self._slots)

    def _offer_loaded(self, slot: WorkerSlot) -> None:
        slot.loaded = True
        self._cancel_load_deadline()
        self._overdue = False
        self._dispatcher.offer(slot)

    def _cancel_load_deadline(self) -> None:
        if self._load_deadline is not None:
            self._load_deadline.cancel()
            self._load_deadline = None

    def _give_up_waiting(self) -> None:
        self._load_deadline, self._overdue = None, True
        self._dispatcher.refuse(self.not_ready())

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
        engine = self._settings.command.engine
        while self._running:
            log.info("worker restarts", engine=engine, pid=slot.worker.pid, reason=reason)
            if self._on_restart is not None:
                self._on_restart(reason)
            if not self.ready:
                self._dispatcher.refuse(self.not_ready())
            try:
                await slot.worker.kill()
                if slot.failures > 1:
                    await asyncio.sleep(backoff_seconds(slot.failures))
                slot.worker = WorkerClient(
                    self._settings.command, on_unread=self._settings.on_unread, template=self._settings.template
                )
                await slot.worker.start(self._settings.load_timeout_seconds)
            except EngineError as error:
                log.warning("engine failed to load", engine=engine, reason=error.message)
            except Exception:  # whatever it is: a slot that nobody restarts would stay empty for ever
                log.exception("engine failed to load", engine=engine)
            else:
                self._offer_loaded(slot)
                return
            slot.failures += 1
            reason = "crashed"

    async def _watch(self) -> None:
        """Replace idle workers that have died, before a request finds out, and bound the memory of all."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            self._dispatcher.discard_dead()
            if self._settings.memory_limit_bytes is not None:
                await self._kill_excessive(EXCESS * self._settings.memory_limit_bytes)

    async def _kill_excessive(self, limit_bytes: float) -> None:
        """Kill workers above the limit before the kernel kills the pod: their utterances fail as in a crash."""
        for slot in self._slots:
            size = slot.worker.resident_bytes() if slot.loaded else 0
            if size > limit_bytes:
                log.error("worker killed: memory limit", engine=self._settings.command.engine, resident_bytes=size)
                with suppress(ProcessLookupError):
                    await slot.worker.kill()


def backoff_seconds(failures: int) -> float:
    """Return the time to wait before the next start after so many failures in a row, at least two."""
    doublings = min(failures - 2, 16)  # bounded: an engine may fail for weeks
    return min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * float(2**doublings))
