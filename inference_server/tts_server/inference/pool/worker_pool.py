"""A pool of worker processes of one local engine, as an engine client."""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import structlog

from tts_server.engines.protocol import WARM_UP_TEXT
from tts_server.engines.registry import shares_memory
from tts_server.errors import EngineError, InvalidAudio, TTSError
from tts_server.inference.client import Samples, Utterance, VoiceFeatures, Voices
from tts_server.inference.output_check import OutputCheck
from tts_server.inference.pool.batch import Batch
from tts_server.inference.pool.dispatcher import Dispatcher, DispatchHooks
from tts_server.inference.pool.slot import Assignment, WorkerSlot
from tts_server.inference.pool.supervisor import WorkerSettings, WorkerSupervisor
from tts_server.inference.pool.template import SUPPORTED, WorkerTemplate
from tts_server.inference.pool.worker_client import WorkerClient
from tts_server.inference.pool.worker_process import WorkerCommand
from tts_server.scheduling.batching import BatchPolicy, worth_batching
from tts_server.scheduling.fair_queue import Priority, SchedulingParams
from tts_server.scheduling.throughput import Running, ThroughputEstimator
from tts_server.telemetry.tracing import span
from tts_server.text.duration_estimate import estimated_seconds

log = structlog.get_logger(__name__)

DEFAULT_PARAMS = SchedulingParams()
LOAD_SECONDS = 120.0
"""How long a process may load by default."""
LEAST_COST = 0.1
"""Least cost of an utterance, in estimated seconds of audio, as all costs of this pool."""
NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


class WorkerPool:
    """`EngineClient` over N worker processes of one engine.

    `Dispatcher` decides which utterance runs next, `WorkerSupervisor` replaces workers that fail and calls `on_restart`
    with the reason. `on_wait` and `on_depth` are called as in `DispatchHooks`.

    `options` are the keyword arguments of the engine's constructor, `python` is the interpreter of the processes, by
    default this one. Numbers in `normalized_languages`, by default in those that the engine asks for, are written in
    words before it gets them; `on_unread` is called with the reason where that fails. Several workers of an engine that
    can be forked share what it has loaded (`WorkerTemplate`).

    `batching` lets an engine that gains by it synthesize several utterances at once (`scheduling.batching`); `on_batch`
    is called with their number. If a batch fails, the members without any audio yet are synthesized again, each alone.
    """

    def __init__(
        self,
        engine: str,
        *,
        processes: int = 1,
        threads: int = 1,
        options: Mapping[str, Any] = NO_OPTIONS,
        python: str | None = None,
        memory_limit_bytes: int | None = None,
        first_audio_timeout_seconds: float = 3.0,
        load_timeout_seconds: float = LOAD_SECONDS,
        on_restart: Callable[[str], None] | None = None,
        on_wait: Callable[[str, float], None] = lambda _, __: None,
        on_depth: Callable[[str, int], None] = lambda _, __: None,
        batching: BatchPolicy | None = None,
        on_batch: Callable[[int], None] = lambda _: None,
        normalized_languages: tuple[str, ...] | None = None,
        on_unread: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.sample_rate_hz = 0
        self.voices: Voices = {}
        self.voice_features = VoiceFeatures()
        self.passage_characters = 0
        self.pause_scales: Mapping[float, float] = {}
        self._engine = engine
        self._first_audio_timeout_seconds = first_audio_timeout_seconds
        self._batching = batching
        command = WorkerCommand(engine, threads, options, normalized_languages, python)
        measured_size = batching.size if batching is not None else 0
        # One process alone would only pay for a second one. With threads, an engine cannot be forked.
        shares = (
            processes > 1 and threads == 1 and SUPPORTED and shares_memory(engine) and python in {None, sys.executable}
        )
        template = WorkerTemplate(engine, options, normalized_languages) if shares else None
        sizes = [measured_size, *[0] * (processes - 1)]
        self._slots = [WorkerSlot(WorkerClient(command, size, on_unread, template)) for size in sizes]
        self._dispatcher = Dispatcher(
            self._slots,
            DispatchHooks(on_wait, on_depth, on_batch),
            on_lost=lambda slot: self._supervisor.replace(slot, "crashed"),
            on_batch=lambda slot, batch, cost: self._supervisor.spawn(self._run_batch(slot, batch, cost)),
            on_abandoned=lambda slot: self._supervisor.release(slot, failed=True, invalid_audio=False),
        )
        settings = WorkerSettings(
            command, load_timeout_seconds, memory_limit_bytes, first_audio_timeout_seconds, on_unread, template
        )
        self._supervisor = WorkerSupervisor(settings, self._slots, self._dispatcher, on_restart)

    @property
    def ready(self) -> bool:
        return self._supervisor.ready

    @property
    def real_time_factor(self) -> float:
        return self._dispatcher.throughput.seconds_per_cost

    @property
    def pids(self) -> list[int]:
        """Process IDs of the running workers."""
        return [slot.worker.pid for slot in self._slots if slot.worker.alive and slot.worker.pid is not None]

    @property
    def waiting(self) -> int:
        """Number of queued utterances."""
        return len(self._dispatcher.waiting)

    async def start(self) -> None:
        await self._supervisor.load()
        first = self._slots[0].worker
        self.sample_rate_hz, self.voices = first.sample_rate_hz, first.voices
        self.voice_features = first.voice_features
        self.passage_characters, self.pause_scales = first.passage_characters, first.pause_scales
        self._dispatcher.throughput = ThroughputEstimator(first.real_time_factor)
        policy = self._dispatcher.batches.policy = worth_batching(self._batching, first.batch_cost)
        if (cost := first.batch_cost) is not None:
            gain = round(cost.gain, 2)
            log.info("batch cost measured", engine=self._engine, size=cost.size, gain=gain, batches=policy is not None)
        self._supervisor.serve()

    async def speak(self, utterance: Utterance, params: SchedulingParams = DEFAULT_PARAMS) -> AsyncGenerator[Samples]:
        cost = max(LEAST_COST, estimated_seconds(utterance.text, utterance.speed))
        dispatcher, batchable = self._dispatcher, self._dispatcher.batches.policy is not None
        while True:
            if not (dispatcher.idle or self.ready):
                raise self._supervisor.not_ready()
            with span("queue"):
                slot, member = await dispatcher.acquire(utterance, params, cost, batchable=batchable)
            running = Running(cost, time.monotonic())
            dispatcher.running.add(running)
            failed, invalid_audio, sent = True, False, False
            check = OutputCheck(utterance, self.sample_rate_hz)
            try:
                if member is None:
                    await self._begin(slot, utterance, cost)
                while (samples := await self._next_part((slot, member))) is not None:
                    if (passed := check.passed(samples)) is not None:
                        sent = True
                        yield passed
                if check.silent and (silence := await self._confirm_silence(check, None if member else slot)).size:
                    yield silence
                failed = False
                if member is None:
                    dispatcher.throughput.observe(cost, time.monotonic() - slot.assigned_at)
            except EngineError as error:
                invalid_audio = isinstance(error, InvalidAudio)
                log.warning("engine failed", engine=self._engine, error=error.code, reason=error.message)
                if member is None or sent:
                    raise
            except (GeneratorExit, asyncio.CancelledError):
                failed = False
                raise
            else:
                return
            finally:
                dispatcher.running.discard(running)
                self._release((slot, member), failed=failed, invalid_audio=invalid_audio, silent=check.silent)
            # Once, and whatever the failure was: a text that crashes an engine fails its batch, and must fail no other.
            batchable, params = False, replace(params, max_wait_seconds=None)

    def promote(self, reply: object) -> None:
        self._dispatcher.waiting.promote(reply)

    def refuse_waiting(self, error: TTSError, priority: Priority | None = None) -> None:
        self._dispatcher.refuse(error, priority)

    async def stop(self) -> None:
        await self._supervisor.stop()

    async def _begin(self, slot: WorkerSlot, utterance: Utterance, cost: float) -> None:
        if slot.worker.at_rest:  # else the utterance was sent ahead
            await slot.worker.begin(utterance)
        self._dispatcher.plan_prefetch(slot, cost)

    async def _next_part(self, assignment: Assignment) -> Samples | None:
        slot, member = assignment
        if member is not None:
            return await member.next_part()
        return await slot.worker.next_part(self._first_audio_timeout_seconds)

    async def _confirm_silence(self, check: OutputCheck, slot: WorkerSlot | None) -> Samples:
        """Return the zeros of an utterance that has nothing else. Raises `InvalidAudio` if the engine is broken.

        Without a slot it raises too: the worker may still run the batch. Alone, the utterance gets a proper check.
        """
        if slot is None or not await self._is_audible(slot):
            raise InvalidAudio(f"Engine {self._engine} yields only silence.")
        return check.held()

    async def _is_audible(self, slot: WorkerSlot) -> bool:
        """Whether the worker can synthesize audio that is not silent: a voice may lack all letters of a script."""
        worker = slot.worker
        self._dispatcher.cancel_prefetch(slot)
        if slot.next_request is not None:
            self._dispatcher.requeue_next(slot)
            worker.start_next()
            if not await worker.settle():
                return False
        voice, languages = next(iter(worker.voices.items()))
        audible = False
        await worker.begin(Utterance(WARM_UP_TEXT, voice, languages[0] if languages else None))
        while (samples := await worker.next_part(self._first_audio_timeout_seconds)) is not None:
            audible = audible or bool(samples.any())
        return audible

    async def _run_batch(self, slot: WorkerSlot, batch: Batch, cost: float) -> None:
        failed = True
        try:
            completed = await batch.run(self._first_audio_timeout_seconds)
            failed = False
            if completed:
                self._dispatcher.throughput.observe(cost, time.monotonic() - slot.assigned_at)
        except EngineError:
            pass  # its members raise and log it
        finally:
            slot.pardons_failure = True
            self._supervisor.release(slot, failed=failed, invalid_audio=batch.invalid_audio)

    def _release(self, assignment: Assignment, *, failed: bool, invalid_audio: bool, silent: bool) -> None:
        slot, member = assignment
        if member is None:
            self._dispatcher.cancel_prefetch(slot)
            self._supervisor.release(slot, failed=failed, invalid_audio=invalid_audio)
        else:  # silence in a batch is not yet the worker's fault: the utterance is checked alone first
            member.cancel(invalid_audio=invalid_audio and not silent)
