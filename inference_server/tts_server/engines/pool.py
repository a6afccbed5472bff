"""A local model's engine processes as one Speaker: who is free speaks, who dies is replaced."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing, suppress
from typing import Any

import structlog

from tts_server.engines.process import EngineProcess
from tts_server.engines.protocol import WARM_UP_TEXT
from tts_server.engines.sound_check import SoundCheck
from tts_server.engines.speaker import Samples, Utterance, Voices
from tts_server.errors import EngineCrashed, EngineError, EngineGarbage, Overloaded, TTSError
from tts_server.scheduling.fair_queue import FairQueue, Priority, Turn
from tts_server.scheduling.pace import Pace
from tts_server.tracing import span

log = structlog.get_logger(__name__)

FIRST_BACKOFF_SECONDS = 0.2
LONGEST_BACKOFF_SECONDS = 30.0
WATCH_SECONDS = 0.5
MOST_WAITING = 1024
"""Utterances: a bound where nothing is known yet of how long they will take."""
AT_ONCE = Turn()
EXCESS = 1.25
"""Times its memory limit at which a process is killed while it speaks; between utterances the limit itself holds."""


class _Slot:
    """A place for one process, which may have many processes in its life.

    starting -> idle <-> busy -> settling -> idle            the usual turns
       ^                  |         |
       +-- (backoff) -----+---------+                        crashed, stuck, too large
    """

    def __init__(self, process: EngineProcess) -> None:
        self.process = process
        self.failures = 0
        """In a row, since it last spoke to the end."""
        self.up = False
        """Whether the process is loaded: idle, busy or settling."""


class ProcessPool:
    """`Speaker` over N processes of one engine.

    A process that crashes is replaced at once, the second time in a row after 0.2 s, then twice as late each time, up
    to 30 s. `on_restart` hears why: `crashed`, `stuck` (did not stop when cancelled), `garbage` (yielded no speech) or
    `memory`. Who waits is served by `FairQueue`; `on_wait` hears a tenant and the seconds that it waited, `on_depth`
    how many of its utterances wait now.
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
    ) -> None:
        self._engine = engine
        self._threads = threads
        self._memory_limit_bytes = memory_limit_bytes
        self._first_audio_timeout_seconds = first_audio_timeout_seconds
        self._load_timeout_seconds = load_timeout_seconds
        self._on_restart = on_restart
        self._on_wait = on_wait
        self._on_depth = on_depth
        self._slots = [_Slot(EngineProcess(engine, threads)) for _ in range(processes)]
        self._idle: deque[_Slot] = deque()
        self._waiting: FairQueue[asyncio.Future[_Slot]] = FairQueue(time.monotonic)
        self._pace = Pace()
        self._spoken_cost = 0.0
        """Of what is being spoken now."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = False
        self.sample_rate_hz = 0
        self.voices: Voices = {}

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
        return len(self._waiting)

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
        self._running = True
        for slot in self._slots:
            slot.up = True
            self._offer(slot)
        if self._memory_limit_bytes is not None:
            self._spawn(self._watch(self._memory_limit_bytes))

    async def speak(self, utterance: Utterance, turn: Turn = AT_ONCE) -> AsyncGenerator[Samples]:
        """See `Speaker.speak`. Raises `EngineCrashed` at once when every process is in a crash loop."""
        cost = float(max(1, len(utterance.text)))
        with span("queue"):
            slot = await self._take(turn, cost)
        begun = time.monotonic()
        self._spoken_cost += cost
        failed, garbage = True, False
        check = SoundCheck(utterance, self.sample_rate_hz)
        try:
            async with aclosing(slot.process.speak(utterance, self._first_audio_timeout_seconds)) as parts:
                async for samples in parts:
                    if (passed := check.passed(samples)) is not None:
                        yield passed
            if check.silent:
                if not await self._sounds(slot.process):
                    raise EngineGarbage(f"Engine {self._engine} has gone silent.")
                if (silence := check.held()).size:
                    yield silence
            failed = False
            self._pace.learn(cost, time.monotonic() - begun)
        except EngineError as error:
            garbage = isinstance(error, EngineGarbage)
            log.warning("engine failed", engine=self._engine, error=error.code, reason=error.message)
            raise
        except (GeneratorExit, asyncio.CancelledError):
            failed = False
            raise
        finally:
            self._spoken_cost -= cost
            if self._running:  # after `stop`, nothing
                if slot.process.at_rest and not garbage:
                    self._settled(slot, failed=failed)
                else:  # in a task of its own: whoever hung up need not wait until the engine has noticed
                    self._spawn(self._settle(slot, failed=failed, garbage=garbage))

    async def stop(self) -> None:
        """See `Speaker.stop`."""
        self._running = False
        for task in self._tasks:
            task.cancel()
        self._fail_waiting("The engine is stopping.")
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(slot.process.stop() for slot in self._slots))

    async def _sounds(self, process: EngineProcess) -> bool:
        """Whether it can be heard at all: silence may also be all that it knows of a script."""
        voice, languages = next(iter(process.voices.items()))
        words = Utterance(WARM_UP_TEXT, voice, languages[0] if languages else None)
        heard = False
        async with aclosing(process.speak(words, self._first_audio_timeout_seconds)) as parts:
            async for samples in parts:
                heard = heard or bool(samples.any())
        return heard

    def refuse_waiting(self, error: TTSError, priority: Priority | None = None) -> None:
        """See `Queueing`."""
        for item in list(self._waiting):
            if priority in {None, item.turn.priority}:
                self._waiting.remove(item)
                if not item.work.done():
                    item.work.set_exception(error)
                self._depth_changed(item.turn.tenant)

    def hurry(self, reply: object) -> None:
        """See `Queueing`."""
        self._waiting.hurry(reply)

    async def _take(self, turn: Turn, cost: float) -> _Slot:
        while self._idle:
            slot = self._idle.popleft()
            if slot.process.alive:
                self._on_wait(turn.tenant, 0.0)
                return slot
            self._replace(slot, "crashed")  # it died while nobody spoke
        if not self.ready:
            raise EngineCrashed(f"Engine {self._engine} is not running; it is started again and again.")
        self._check_wait(turn)
        future: asyncio.Future[_Slot] = asyncio.get_running_loop().create_future()
        item = self._waiting.push(future, turn, cost)
        self._depth_changed(turn.tenant)
        try:
            slot = await future
        except asyncio.CancelledError:
            if self._waiting.remove(item):
                self._depth_changed(turn.tenant)
            elif future.done() and not future.cancelled() and future.exception() is None:
                self._offer(future.result())
            raise
        self._on_wait(turn.tenant, time.monotonic() - item.arrived)
        return slot

    def _check_wait(self, turn: Turn) -> None:
        """Refuse at once who would wait too long: half of what is being spoken, and all that is before it."""
        seconds = self._pace.wait_seconds(self._waiting.ahead_of(turn) + self._spoken_cost / 2, len(self._slots))
        too_long = turn.max_wait_seconds is not None and seconds > turn.max_wait_seconds
        if too_long or len(self._waiting) >= MOST_WAITING:
            raise Overloaded("Too much is waiting to be spoken.", retry_after_seconds=seconds)

    def _offer(self, slot: _Slot) -> None:
        while (item := self._waiting.pop()) is not None:
            self._depth_changed(item.turn.tenant)
            if not item.work.done():  # its caller may have left, and not have come round to leave the queue
                item.work.set_result(slot)
                return
        self._idle.append(slot)

    def _fail_waiting(self, message: str) -> None:
        self.refuse_waiting(EngineCrashed(message))

    def _depth_changed(self, tenant: str) -> None:
        self._on_depth(tenant, self._waiting.depth(tenant))

    async def _settle(self, slot: _Slot, *, failed: bool, garbage: bool) -> None:
        was_alive = slot.process.alive
        if garbage and was_alive:
            self._replace(slot, "garbage")
        elif not await slot.process.settle():
            self._replace(slot, "stuck" if was_alive else "crashed")
        else:
            self._settled(slot, failed=failed)

    def _settled(self, slot: _Slot, *, failed: bool) -> None:
        if not slot.process.alive:
            self._replace(slot, "crashed")
        elif self._memory_limit_bytes is not None and slot.process.resident_bytes() > self._memory_limit_bytes:
            self._replace(slot, "memory")
        else:
            slot.failures = slot.failures if failed else 0
            self._offer(slot)

    def _replace(self, slot: _Slot, reason: str) -> None:
        slot.up = False
        if reason != "memory":
            slot.failures += 1
        self._spawn(self._restart(slot, reason))

    async def _restart(self, slot: _Slot, reason: str) -> None:
        while self._running:
            log.info("engine restarts", engine=self._engine, pid=slot.process.pid, reason=reason)
            if self._on_restart is not None:
                self._on_restart(reason)
            if not self.ready:
                self._fail_waiting(f"Engine {self._engine} crashes again and again.")
            await slot.process.kill()
            if slot.failures > 1:
                await asyncio.sleep(min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** (slot.failures - 2)))
            slot.process = EngineProcess(self._engine, self._threads)
            try:
                await slot.process.start(self._load_timeout_seconds)
            except EngineError as error:
                slot.failures += 1
                reason = "crashed"
                log.warning("engine does not load", engine=self._engine, reason=error.message)
                continue
            slot.up = True
            self._offer(slot)
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
