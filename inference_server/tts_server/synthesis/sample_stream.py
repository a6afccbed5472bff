"""One reply's sound, spoken ahead of its listener: the next sentence while this one is on its way.

speak(line 1) speak(line 2) ...   ->   samples waiting   ->   take() by whoever encodes and sends

Whoever listens has time to hear what is spoken before the next line is due: queues are told when that is.
A listener that is slow stops the speaking between two lines, never inside one: an engine's process is not held for
it. A line is spoken a second time when its engine fails before any of its sound was taken and other lines' was; what
was taken is never repeated, so after that the failure ends the reply.

As long as nothing has been sent, another model may speak in place of one that cannot: then it speaks the whole reply,
from its beginning, so that a reply has one voice.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

import numpy as np

from tts_server.audio import Resampler
from tts_server.errors import EngineError, EngineGivenUp
from tts_server.inference.client import Samples
from tts_server.routing.fallback import Chains, FallbackModel, choose
from tts_server.routing.voice_selection import RoutedUtterance
from tts_server.scheduling.fair_queue import Priority, SchedulingParams
from tts_server.synthesis.guard import BreakerGuard
from tts_server.telemetry.tracing import Span, span

AHEAD_SECONDS = 10.0
"""Of sound that waits before the next line is begun."""
SPARE_SECONDS = 1.0
"""Before a listener has heard all that is spoken, the next line is due."""


@dataclass(frozen=True, slots=True)
class SynthesisPlan:
    """Who may speak a reply: its lines as routed, everybody's guard, and who stands in for whom."""

    lines: Sequence[RoutedUtterance]
    guards: Mapping[str, BreakerGuard]
    fallbacks: Chains
    lines_of: Callable[[FallbackModel], Sequence[RoutedUtterance]]
    """The same words as a standby speaks them."""


@dataclass(frozen=True, slots=True)
class StreamHooks:
    """What the metrics hear."""

    on_retry: Callable[[str], None] = lambda _: None
    """A model spoke a line a second time."""
    on_fallback: Callable[[str, str], None] = lambda _, __: None
    """A model could not, and the code of why: another one speaks."""


class SampleStream:
    """The sound of a reply, all at the rate of the model it was asked of. Begins at once; always `stop` it.

    `plays`: whether its listener hears it as it comes, and not all of it at its end.

    Raises `EngineError` where nobody is left to try.
    """

    def __init__(self, cast: SynthesisPlan, hooks: StreamHooks, turn: SchedulingParams, *, plays: bool = True) -> None:
        self._cast = cast
        self._reply = object()
        """By which queues know what is its own."""
        self._turn = replace(turn, reply=self._reply) if turn.priority is Priority.BATCH else turn
        self._hooks = hooks
        self._plays = plays
        self._failed: set[str] = set()
        self.lines = cast.lines
        """As they are spoken now."""
        self.degraded = False
        """Whether another model than the routed ones speaks."""
        self.sample_rate_hz = cast.guards[cast.lines[0].model].sample_rate_hz
        self._model = cast.lines[0].model
        """Whose turn it is."""
        self._news: asyncio.Future[None] | None = None
        """Of whoever waits for something to take, or for the end: one at a time."""
        self._room = asyncio.Event()
        self._choose(EngineGivenUp.code)
        self._begin()

    def _begin(self) -> None:
        self._waiting: deque[Samples] = deque()
        self._waiting_samples = 0
        self._heard_at: float | None = None
        """When whoever hears it from its first sound on will have heard all that is spoken; None before that."""
        self._parts_of_line = 0
        """Of the line being spoken, how many parts wait."""
        self._taken_of_line = False
        self._room.set()
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(lambda _: self._tell())

    def _choose(self, reason: str) -> bool:
        """Who is next; false when nobody is left."""
        cast = self._cast
        needed = [line.model for line in cast.lines]
        choice = choose(needed, cast.fallbacks, self._failed, lambda model: cast.guards[model].allows)
        if choice is None:
            return False
        self._anyway = not choice.worth_a_try
        if choice.standby is not None and choice.without is not None:
            self.lines = cast.lines_of(choice.standby)
            self.degraded = True
            self._hooks.on_fallback(choice.without, reason)
        return True

    async def fall_back(self, error: EngineError) -> bool:
        """Have another model speak all of it, because this one failed; false when nobody is left.

        What was taken so far is void: only for a reply of which nothing has been sent.
        """
        await self.stop()
        self._failed.add(self._model)
        if not self._choose(error.code):
            return False
        self._begin()
        await self.first()
        return True

    @property
    def finished(self) -> bool:
        """Whether all of it is spoken, taken or not."""
        return self._task.done()

    @property
    def ended(self) -> bool:
        """Whether all of it is spoken and taken."""
        return self._task.done() and not self._waiting

    async def first(self) -> None:
        """Return when there is sound, whoever makes it. Raises what the last engine that was asked raised instead."""
        try:
            await self._sound()
        except EngineError as error:
            if not await self.fall_back(error):
                raise

    def promote(self) -> None:
        """Somebody who waits for it now has joined work of priority batch: it is interactive from here on.

        What another pool has been asked for already keeps its place in that one's queue.
        """
        if self._turn.priority is Priority.BATCH:
            self._turn = replace(self._turn, priority=Priority.INTERACTIVE)
            for guard in self._cast.guards.values():
                guard.promote(self._reply)

    async def settle(self, seconds: float) -> None:
        """Return when all of it is spoken, or after so long."""
        if not self._task.done():
            await asyncio.wait([self._task], timeout=seconds)

    async def take(self) -> Samples | None:
        """All that waits, at least one sample; None at the end. After its sound, raises what the engine raised."""
        while not self._waiting:
            if self._task.done():
                self._task.result()
                return None
            await self._change()
        samples = self._waiting[0] if len(self._waiting) == 1 else np.concatenate(self._waiting)
        self._waiting.clear()
        self._waiting_samples = 0
        self._taken_of_line = self._taken_of_line or self._parts_of_line > 0
        self._parts_of_line = 0
        self._room.set()
        return samples

    async def stop(self) -> None:
        """Whatever is being spoken stops; safe at any time."""
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.exception()  # looked at, or asyncio would report it

    async def _sound(self) -> None:
        while not self._waiting:
            if self._task.done():
                self._task.result()
                raise EngineError("The engine gave no sound at all.")
            await self._change()

    async def _change(self) -> None:
        self._news = asyncio.get_running_loop().create_future()
        try:
            await self._news
        finally:
            self._news = None

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def _run(self) -> None:
        for number, line in enumerate(self.lines):
            await self._room.wait()
            self._model = line.model
            self._parts_of_line, self._taken_of_line = 0, False
            # Once it has begun, a reply goes on with its engine, whatever that one's breaker says, however long it is.
            turn = replace(self._turn, max_wait_seconds=None, due=self._due()) if number else self._turn
            try:
                await self._speak(line, turn, anyway=self._anyway or number > 0)
            except EngineError:
                if number == 0 or self._taken_of_line:
                    raise
                self._drop_line()
                self._hooks.on_retry(line.model)
                await self._speak(line, turn, anyway=True)

    async def _speak(self, line: RoutedUtterance, turn: SchedulingParams, *, anyway: bool) -> None:
        with span("speak", current=True) as speaking:
            speaking.set_attribute("tts.model", line.model)
            speaking.set_attribute("tts.voice", line.utterance.voice)
            speaking.set_attribute("tts.text_characters", len(line.utterance.text))
            await self._hear(line, turn, speaking, anyway=anyway)

    async def _hear(self, line: RoutedUtterance, turn: SchedulingParams, speaking: Span, *, anyway: bool) -> None:
        guard = self._cast.guards[line.model]
        engine_client = guard.engine_client
        resampler = None
        if engine_client.sample_rate_hz != self.sample_rate_hz:
            resampler = Resampler(engine_client.sample_rate_hz, self.sample_rate_hz)
        with guard.attempt(anyway=anyway):
            async with aclosing(engine_client.speak(line.utterance, turn)) as parts:
                async for part in parts:
                    if self._parts_of_line == 0 and not self._taken_of_line:
                        speaking.add_event("first audio")
                    self._put(part if resampler is None else resampler.feed(part))
        if resampler is not None:
            self._put(resampler.finish())

    def _due(self) -> float | None:
        """Of the next line."""
        return None if self._heard_at is None or not self._plays else self._heard_at - SPARE_SECONDS

    def _put(self, samples: Samples) -> None:
        if samples.size == 0:
            return
        self._heard_at = (self._heard_at or time.monotonic()) + samples.size / self.sample_rate_hz
        self._waiting.append(samples)
        self._parts_of_line += 1
        self._waiting_samples += samples.size
        if self._waiting_samples > AHEAD_SECONDS * self.sample_rate_hz:
            self._room.clear()
        self._tell()

    def _drop_line(self) -> None:
        """Forget what waits of a line that failed."""
        for _ in range(self._parts_of_line):
            dropped = self._waiting.pop().size
            self._waiting_samples -= dropped
            self._heard_at = (self._heard_at or 0.0) - dropped / self.sample_rate_hz
        self._parts_of_line = 0
        if self._waiting_samples <= AHEAD_SECONDS * self.sample_rate_hz:
            self._room.set()
