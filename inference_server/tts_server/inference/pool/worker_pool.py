"""A local model's engine processes as one Speaker: who is free speaks, who dies is replaced."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any

import structlog

from tts_server.engines.protocol import WARM_UP_TEXT
from tts_server.errors import EngineCrashed, EngineError, InvalidAudio, TTSError
from tts_server.inference.client import Samples, Utterance, Voices
from tts_server.inference.output_check import OutputCheck
from tts_server.inference.pool.batch import Batch
from tts_server.inference.pool.dispatcher import Dispatcher, DispatchHooks
from tts_server.inference.pool.slot import Assignment, WorkerSlot
from tts_server.inference.pool.worker_client import WorkerClient
from tts_server.scheduling.batching import BatchPolicy, worth_sharing
from tts_server.scheduling.fair_queue import Priority, SchedulingParams
from tts_server.telemetry.tracing import span

log = structlog.get_logger(__name__)

FIRST_BACKOFF_SECONDS = 0.2
LONGEST_BACKOFF_SECONDS = 30.0
WATCH_SECONDS = 0.5
AT_ONCE = SchedulingParams()
EXCESS = 1.25
"""Times its memory limit at which a process is killed while it speaks; between utterances the limit itself holds."""


class WorkerPool:
    """`EngineClient` over N processes of one engine.

    A process that crashes is replaced at once, the second time in a row after 0.2 s, then twice as late each time, up
    to 30 s. `on_restart` hears why: `crashed`, `stuck` (did not stop when cancelled), `invalid_output` (no speech) or
    `memory`. Who waits is served by `Dispatcher`; `on_wait` hears a tenant and the seconds that it waited, `on_depth`
    how many of its utterances wait now.

    `sharing` lets an engine that gains by it speak several utterances at once (`scheduling.batching`); `on_batch` hears
    how many. Where a batch fails, those of whom nothing was heard yet are spoken again, each alone.
    """

    def __init__(
        self,
        engine: str,
        *,
        processes: int = 1,
        threads: int = 1,
        memory_limit_bytes: int | None = None,
        first_audio_timeout_seconds: float = 3.0,
        load_timeout_seconds: float = 120.0,
        on_restart: Callable[[str], None] | None = None,
        on_wait: Callable[[str, float], None] = lambda _, __: None,
        on_depth: Callable[[str, int], None] = lambda _, __: None,
        sharing: BatchPolicy | None = None,
        on_batch: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._engine = engine
        self._threads = threads
        self._memory_limit_bytes = memory_limit_bytes
        self._first_audio_timeout_seconds = first_audio_timeout_seconds
        self._load_timeout_seconds = load_timeout_seconds
        self._on_restart = on_restart
        measured_size = sharing.size if sharing is not None else 0
        self._slots = [WorkerSlot(WorkerClient(engine, threads, 0 if n else measured_size)) for n in range(processes)]
        self._wanted_sharing = sharing
        self._dispatcher = Dispatcher(
            self._slots,
            DispatchHooks(on_wait, on_depth, on_batch),
            lost=lambda slot: self._replace(slot, "crashed"),
            begun=lambda slot, batch, cost: self._spawn(self._run_batch(slot, batch, cost)),
            unheard=lambda slot: self._leave(slot, failed=True, invalid_audio=False),
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = False
        self.sample_rate_hz = 0
        self.voices: Voices = {}
        self.passage_characters = 0

    @property
    def ready(self) -> bool:
        """One failure is an accident and its replacement is on the way; two in a row are a crash loop."""
        return self._running and any(slot.up or slot.failures < 2 for slot in self._slots)

    @property
    def pids(self) -> list[int]:
        """Of the processes that live now."""
        return [slot.process.pid for slot in self._slots if slot.process.alive and slot.process.pid is not None]

    @property
    def waiting(self) -> int:
        """Utterances without a process yet."""
        return len(self._dispatcher.waiting)

    async def start(self) -> None:
        """Start every process. Raises `EngineError` if one does not load; none is left then."""
        try:
            async with asyncio.TaskGroup() as group:
                for slot in self._slots:
                    group.create_task(slot.process.start(self._load_timeout_seconds))
        except BaseExceptionGroup as failures:
            await self.stop()
            raise failures.exceptions[0] from None
        except BaseException:
            await self.stop()
            raise
        first = self._slots[0].process
        self.sample_rate_hz, self.voices = first.sample_rate_hz, first.voices
        self.passage_characters = first.passage_characters
        self._dispatcher.sharing = worth_sharing(self._wanted_sharing, first.measured)
        if first.measured is not None:
            log.info(
                "engine is measured for batches", engine=self._engine, size=first.measured.size,
                gain=round(first.measured.gain, 2), batches=self._dispatcher.sharing is not None,
            )  # fmt: skip
        self._running = True
        for slot in self._slots:
            slot.up = True
            self._dispatcher.offer(slot)
        if self._memory_limit_bytes is not None:
            self._spawn(self._watch(self._memory_limit_bytes))

    async def speak(self, utterance: Utterance, turn: SchedulingParams = AT_ONCE) -> AsyncGenerator[Samples]:
        """See `EngineClient.speak`. Raises `EngineCrashed` at once when every process is in a crash loop."""
        cost = float(max(1, len(utterance.text)))
        dispatcher, shares = self._dispatcher, self._dispatcher.sharing is not None
        while True:
            if not (dispatcher.idle or self.ready):
                raise EngineCrashed(f"Engine {self._engine} is not running; it is started again and again.")
            with span("queue"):
                slot, member = await dispatcher.take(utterance, turn, cost, shares=shares)
            dispatcher.spoken_cost += cost
            failed, invalid_audio, heard = True, False, False
            check = OutputCheck(utterance, self.sample_rate_hz)
            try:
                if member is None:
                    await self._ask(slot, utterance, cost)
                while (samples := await self._part((slot, member))) is not None:
                    if (passed := check.passed(samples)) is not None:
                        heard = True
                        yield passed
                if check.silent and (silence := await self._silence(check, None if member else slot)).size:
                    yield silence
                failed = False
                if member is None:
                    dispatcher.pace.observe(cost, time.monotonic() - slot.given_at)
            except EngineError as error:
                invalid_audio = isinstance(error, InvalidAudio)
                log.warning("engine failed", engine=self._engine, error=error.code, reason=error.message)
                if member is None or heard:
                    raise
            except (GeneratorExit, asyncio.CancelledError):
                failed = False
                raise
            else:
                return
            finally:
                dispatcher.spoken_cost -= cost
                self._rise((slot, member), failed=failed, invalid_audio=invalid_audio, silent=check.silent)
            # Once, and whatever it was: a text that an engine cannot bear fails its batch, and must fail no other.
            shares, turn = False, replace(turn, max_wait_seconds=None)

    async def stop(self) -> None:
        """See `EngineClient.stop`."""
        self._running = False
        for task in self._tasks:
            task.cancel()
        self._dispatcher.end(EngineCrashed("The engine is stopping."))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(slot.process.stop() for slot in self._slots))

    async def _ask(self, slot: WorkerSlot, utterance: Utterance, cost: float) -> None:
        if slot.process.at_rest:  # else it was told ahead
            await slot.process.ask(utterance)
        self._dispatcher.spoken(slot, cost)

    async def _part(self, seat: Assignment) -> Samples | None:
        slot, member = seat
        return await (slot.process.part(self._first_audio_timeout_seconds) if member is None else member.part())

    async def _silence(self, check: OutputCheck, slot: WorkerSlot | None) -> Samples:
        """What was held back of an utterance without a sound. Raises `InvalidAudio` where the engine is to blame.

        None: its batch may still be under way, which leaves no process to ask. Alone it will be known.
        """
        if slot is None or not await self._sounds(slot):
            raise InvalidAudio(f"Engine {self._engine} has gone silent.")
        return check.held()

    async def _sounds(self, slot: WorkerSlot) -> bool:
        """Whether it can be heard at all: silence may also be all that it knows of a script."""
        process = slot.process
        self._dispatcher.rise(slot)
        if slot.next_request is not None:
            self._dispatcher.requeue_next(slot)
            process.start_next()
            if not await process.settle():
                return False
        voice, languages = next(iter(process.voices.items()))
        words = Utterance(WARM_UP_TEXT, voice, languages[0] if languages else None)
        heard = False
        await process.ask(words)
        while (samples := await process.part(self._first_audio_timeout_seconds)) is not None:
            heard = heard or bool(samples.any())
        return heard

    def refuse_waiting(self, error: TTSError, priority: Priority | None = None) -> None:
        """See `Queueing`."""
        self._dispatcher.refuse(error, priority)

    def promote(self, reply: object) -> None:
        """See `Queueing`."""
        self._dispatcher.waiting.promote(reply)

    async def _run_batch(self, slot: WorkerSlot, batch: Batch, cost: float) -> None:
        failed = True
        try:
            whole = await batch.run(self._first_audio_timeout_seconds)
            failed = False
            if whole:
                self._dispatcher.pace.observe(cost, time.monotonic() - slot.given_at)
        except EngineError:
            pass  # its members say so
        finally:
            slot.pardons = True
            self._leave(slot, failed=failed, invalid_audio=batch.invalid_audio)

    def _rise(self, seat: Assignment, *, failed: bool, invalid_audio: bool, silent: bool) -> None:
        slot, member = seat
        if member is None:
            self._dispatcher.rise(slot)
            self._leave(slot, failed=failed, invalid_audio=invalid_audio)
        else:  # a process is not blamed for silence before it was asked alone
            member.leave(invalid_audio=invalid_audio and not silent)

    def _leave(self, slot: WorkerSlot, *, failed: bool, invalid_audio: bool) -> None:
        """Nobody speaks there any more. After `stop`, nothing."""
        if not self._running:
            return
        if slot.process.at_rest and not invalid_audio:
            self._settled(slot, failed=failed)
        else:  # in a task of its own: whoever hung up need not wait until the engine has noticed
            self._spawn(self._settle(slot, failed=failed, invalid_audio=invalid_audio))

    async def _settle(self, slot: WorkerSlot, *, failed: bool, invalid_audio: bool) -> None:
        was_alive = slot.process.alive
        if invalid_audio and was_alive:
            self._replace(slot, "invalid_output")
        elif not await slot.process.settle():
            self._replace(slot, "stuck" if was_alive else "crashed")
        else:
            self._settled(slot, failed=failed)

    def _settled(self, slot: WorkerSlot, *, failed: bool) -> None:
        limit_bytes = self._memory_limit_bytes
        slot.tight = limit_bytes is not None and slot.process.resident_bytes() > limit_bytes
        if not slot.process.alive:
            self._replace(slot, "crashed")
        elif slot.tight and slot.next_request is None:
            self._replace(slot, "memory")
        else:
            slot.failures = slot.failures if failed else 0
            slot.pardons = False
            self._dispatcher.offer(slot)

    def _replace(self, slot: WorkerSlot, reason: str) -> None:
        slot.up = False
        self._dispatcher.requeue_next(slot)
        if reason != "memory" and not slot.pardons:
            slot.failures += 1
        slot.pardons = False
        self._spawn(self._restart(slot, reason))

    async def _restart(self, slot: WorkerSlot, reason: str) -> None:
        while self._running:
            log.info("engine restarts", engine=self._engine, pid=slot.process.pid, reason=reason)
            if self._on_restart is not None:
                self._on_restart(reason)
            if not self.ready:
                self.refuse_waiting(EngineCrashed(f"Engine {self._engine} crashes again and again."))
            await slot.process.kill()
            if slot.failures > 1:
                await asyncio.sleep(min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** (slot.failures - 2)))
            slot.process = WorkerClient(self._engine, self._threads)
            try:
                await slot.process.start(self._load_timeout_seconds)
            except EngineError as error:
                slot.failures += 1
                reason = "crashed"
                log.warning("engine does not load", engine=self._engine, reason=error.message)
                continue
            slot.up = True
            self._dispatcher.offer(slot)
            return

    async def _watch(self, limit_bytes: int) -> None:
        """Kill what outgrows its limit by far before the kernel takes the pod: its utterance fails as a crash."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            for slot in self._slots:
                size = slot.process.resident_bytes() if slot.up else 0
                if size > EXCESS * limit_bytes:
                    log.error("engine killed for its memory", engine=self._engine, resident_bytes=size)
                    with suppress(ProcessLookupError):
                        await slot.process.kill()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
