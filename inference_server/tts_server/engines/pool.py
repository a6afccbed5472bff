"""A local model's engine processes as one Speaker: who is free speaks, who dies is replaced."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from tts_server.engines.batch import Batch, Member
from tts_server.engines.process import EngineProcess
from tts_server.engines.protocol import WARM_UP_TEXT
from tts_server.engines.sound_check import SoundCheck
from tts_server.engines.speaker import Samples, Utterance, Voices
from tts_server.errors import EngineCrashed, EngineError, EngineGarbage, Overloaded, TTSError
from tts_server.scheduling.batching import Gathering, Sharing, worth_sharing
from tts_server.scheduling.fair_queue import FairQueue, Item, Priority, Turn
from tts_server.scheduling.pace import Pace

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
        self.pardons = False
        """Whether its next failure does not count: each of a batch is tried alone before anybody is blamed."""


@dataclass(eq=False, slots=True)
class _Wanted:
    """An utterance that waits for its place."""

    utterance: Utterance
    shares: bool
    """Whether it may be one of a batch."""
    seat: "asyncio.Future[_Seat]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


_Seat = tuple[_Slot, Member | None]
"""Where an utterance is spoken: alone, or as a member of a batch."""


@dataclass(eq=False, slots=True)
class _Gathering(Gathering[_Wanted]):
    """One that begins when its timer runs out, at the latest."""

    timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Nobody joins any more."""
        if self.timer is not None:
            self.timer.cancel()

    def leave(self, item: Item[_Wanted]) -> bool:
        """Whether this was the last one here."""
        if item not in self.items:
            return False
        self.items.remove(item)
        if not self.items:
            self.close()
        return not self.items

    def end(self, error: EngineError) -> None:
        """It will not be spoken."""
        self.close()
        for item in self.items:
            if not item.work.seat.done():
                item.work.seat.set_exception(error)


class ProcessPool:
    """`Speaker` over N processes of one engine.

    A process that crashes is replaced at once, the second time in a row after 0.2 s, then twice as late each time, up
    to 30 s. `on_restart` hears why: `crashed`, `stuck` (did not stop when cancelled), `garbage` (yielded no speech) or
    `memory`. Who waits is served by `FairQueue`; `on_wait` hears a tenant and the seconds that it waited, `on_depth`
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
        sharing: Sharing | None = None,
        on_batch: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._engine = engine
        self._threads = threads
        self._memory_limit_bytes = memory_limit_bytes
        self._first_audio_timeout_seconds = first_audio_timeout_seconds
        self._load_timeout_seconds = load_timeout_seconds
        self._on_restart = on_restart
        self._on_wait = on_wait
        self._on_depth = on_depth
        measured_size = sharing.size if sharing is not None else 0
        self._slots = [_Slot(EngineProcess(engine, threads, 0 if n else measured_size)) for n in range(processes)]
        self._wanted_sharing = sharing
        self._on_batch = on_batch
        self._sharing: Sharing | None = None
        """None: everybody is spoken alone."""
        self._gatherings: dict[_Slot, _Gathering] = {}
        """Batches that wait for company, by the place whose process will speak them."""
        self._idle: deque[_Slot] = deque()
        self._waiting: FairQueue[_Wanted] = FairQueue(time.monotonic)
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
        self._sharing = worth_sharing(self._wanted_sharing, first.measured)
        if first.measured is not None:
            log.info(
                "engine is measured for batches", engine=self._engine, size=first.measured.size,
                gain=round(first.measured.gain, 2), batches=self._sharing is not None,
            )  # fmt: skip
        self._running = True
        for slot in self._slots:
            slot.up = True
            self._offer(slot)
        if self._memory_limit_bytes is not None:
            self._spawn(self._watch(self._memory_limit_bytes))

    async def speak(self, utterance: Utterance, turn: Turn = AT_ONCE) -> AsyncGenerator[Samples]:
        """See `Speaker.speak`. Raises `EngineCrashed` at once when every process is in a crash loop."""
        cost = float(max(1, len(utterance.text)))
        wanted = _Wanted(utterance, shares=self._sharing is not None)
        while True:
            slot, member = await self._take(wanted, turn, cost)
            begun = time.monotonic()
            self._spoken_cost += cost
            failed, garbage, heard = True, False, False
            check = SoundCheck(utterance, self.sample_rate_hz)
            timeout_seconds = self._first_audio_timeout_seconds
            sound = slot.process.speak(utterance, timeout_seconds) if member is None else member.speak()
            try:
                async with aclosing(sound) as parts:
                    async for samples in parts:
                        if (passed := check.passed(samples)) is not None:
                            heard = True
                            yield passed
                if check.silent:
                    # A batch that is still under way leaves no process to ask.
                    if member is not None or not await self._sounds(slot.process):
                        raise EngineGarbage(f"Engine {self._engine} has gone silent.")
                    if (silence := check.held()).size:
                        yield silence
                failed = False
                if member is None:
                    self._pace.learn(cost, time.monotonic() - begun)
                return
            except EngineError as error:
                garbage = isinstance(error, EngineGarbage) and (member is None or not check.silent)
                log.warning("engine failed", engine=self._engine, error=error.code, reason=error.message)
                if member is None or heard:
                    raise
            except (GeneratorExit, asyncio.CancelledError):
                failed = False
                raise
            finally:
                self._spoken_cost -= cost
                if member is None:
                    self._leave(slot, failed=failed, garbage=garbage)
                else:
                    member.leave(garbage=garbage)
            # Once, and whatever it was: a text that an engine cannot bear fails its batch, and must fail no other.
            wanted, turn = _Wanted(utterance, shares=False), replace(turn, max_wait_seconds=None)

    async def stop(self) -> None:
        """See `Speaker.stop`."""
        self._running = False
        for task in self._tasks:
            task.cancel()
        self._fail_waiting("The engine is stopping.")
        for gathering in self._gatherings.values():
            gathering.end(EngineCrashed("The engine is stopping."))
        self._gatherings.clear()
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
                if not item.work.seat.done():
                    item.work.seat.set_exception(error)
                self._depth_changed(item.turn.tenant)

    def hurry(self, reply: object) -> None:
        """See `Queueing`."""
        self._waiting.hurry(reply)

    async def _take(self, wanted: "_Wanted", turn: Turn, cost: float) -> "_Seat":
        slot = self._free()
        if slot is not None and not wanted.shares:
            self._on_wait(turn.tenant, 0.0)
            return slot, None
        joined = None if slot is not None else self._open_gathering(wanted, turn, cost)
        if slot is None and joined is None:
            if not self.ready:
                raise EngineCrashed(f"Engine {self._engine} is not running; it is started again and again.")
            self._check_wait(turn)
        item = self._waiting.push(wanted, turn, cost)
        self._depth_changed(turn.tenant)
        if slot is not None:
            self._offer(slot)
        elif joined is not None:
            self._waiting.pop(lambda each: each is item)
            self._depth_changed(turn.tenant)
            self._join(joined, item)
        try:
            seat = await wanted.seat
        except asyncio.CancelledError:
            self._withdraw(item)
            raise
        self._on_wait(turn.tenant, time.monotonic() - item.arrived)
        return seat

    def _free(self) -> _Slot | None:
        while self._idle:
            slot = self._idle.popleft()
            if slot.process.alive:
                return slot
            self._replace(slot, "crashed")  # it died while nobody spoke
        return None

    def _withdraw(self, item: "Item[_Wanted]") -> None:
        """Its caller has left."""
        seat = item.work.seat
        if self._waiting.remove(item):
            self._depth_changed(item.turn.tenant)
        elif seat.done() and not seat.cancelled() and seat.exception() is None:
            slot, member = seat.result()
            if member is None:
                self._offer(slot)
            else:
                member.leave()
        else:
            for slot, gathering in list(self._gatherings.items()):
                if gathering.leave(item):
                    del self._gatherings[slot]
                    self._offer(slot)

    def _check_wait(self, turn: Turn) -> None:
        """Refuse at once who would wait too long: half of what is being spoken, and all that is before it."""
        seconds = self._pace.wait_seconds(self._waiting.ahead_of(turn) + self._spoken_cost / 2, len(self._slots))
        too_long = turn.max_wait_seconds is not None and seconds > turn.max_wait_seconds
        if too_long or len(self._waiting) >= MOST_WAITING:
            raise Overloaded("Too much is waiting to be spoken.", retry_after_seconds=seconds)

    def _offer(self, slot: _Slot) -> None:
        while (item := self._waiting.pop()) is not None:
            self._depth_changed(item.turn.tenant)
            if item.work.seat.done():  # its caller may have left, and not have come round to leave the queue
                continue
            if self._sharing is not None and item.work.shares:
                self._gather(slot, item, self._sharing)
            else:
                item.work.seat.set_result((slot, None))
            return
        self._idle.append(slot)

    def _kind(self, utterance: Utterance) -> object:
        """What all utterances of a batch have in common."""
        return utterance.precision, self._slots[0].process.voice_groups.get(utterance.voice, "")

    def _gather(self, slot: _Slot, leader: "Item[_Wanted]", sharing: Sharing) -> None:
        """Begin a batch with whoever may join of those that wait, now or when others have had a moment to come."""
        gathering = _Gathering(sharing, self._kind(leader.work.utterance), leader)
        while (item := self._waiting.pop(lambda each: self._may_join(gathering, each))) is not None:
            self._depth_changed(item.turn.tenant)
            gathering.items.append(item)
        company = len(self._waiting) > 0 or bool(self._gatherings) or self._others_speak(slot)
        seconds = gathering.wait_seconds(time.monotonic(), company=company)
        if seconds > 0:
            self._gatherings[slot] = gathering
            gathering.timer = asyncio.get_running_loop().call_later(seconds, self._begin_batch, slot)
        else:
            self._speak_together(slot, gathering)

    def _others_speak(self, slot: _Slot) -> bool:
        return any(each.up and each is not slot and each not in self._idle for each in self._slots)

    def _may_join(self, gathering: "_Gathering", item: "Item[_Wanted]") -> bool:
        work = item.work
        return work.shares and gathering.accepts(self._kind(work.utterance), item.turn, item.cost)

    def _open_gathering(self, wanted: "_Wanted", turn: Turn, cost: float) -> _Slot | None:
        """The place of a batch that waits for such a one."""
        if not wanted.shares:
            return None
        kind = self._kind(wanted.utterance)
        return next((slot for slot, found in self._gatherings.items() if found.accepts(kind, turn, cost)), None)

    def _join(self, slot: _Slot, item: "Item[_Wanted]") -> None:
        gathering = self._gatherings[slot]
        gathering.items.append(item)
        if gathering.full:
            self._begin_batch(slot)

    def _begin_batch(self, slot: _Slot) -> None:
        self._speak_together(slot, self._gatherings.pop(slot))

    def _speak_together(self, slot: _Slot, gathering: "_Gathering") -> None:
        """Those who are still there; one that is left alone has the process for itself."""
        gathering.close()
        items = [item for item in gathering.items if not item.work.seat.done()]
        if not items:
            self._offer(slot)
            return
        self._on_batch(len(items))
        if len(items) == 1:
            items[0].work.seat.set_result((slot, None))
            return
        batch = Batch(slot.process, [item.work.utterance for item in items])
        for item, member in zip(items, batch.members, strict=True):
            item.work.seat.set_result((slot, member))
        self._spawn(self._run_batch(slot, batch, sum(item.cost for item in items)))

    async def _run_batch(self, slot: _Slot, batch: Batch, cost: float) -> None:
        begun = time.monotonic()
        failed = True
        try:
            await batch.run(self._first_audio_timeout_seconds)
            failed = False
            self._pace.learn(cost, time.monotonic() - begun)
        except EngineError:
            pass  # its members say so
        finally:
            slot.pardons = True
            self._leave(slot, failed=failed, garbage=batch.garbage)

    def _leave(self, slot: _Slot, *, failed: bool, garbage: bool) -> None:
        """Nobody speaks there any more. After `stop`, nothing."""
        if not self._running:
            return
        if slot.process.at_rest and not garbage:
            self._settled(slot, failed=failed)
        else:  # in a task of its own: whoever hung up need not wait until the engine has noticed
            self._spawn(self._settle(slot, failed=failed, garbage=garbage))

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
            slot.pardons = False
            self._offer(slot)

    def _replace(self, slot: _Slot, reason: str) -> None:
        slot.up = False
        if reason != "memory" and not slot.pardons:
            slot.failures += 1
        slot.pardons = False
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
