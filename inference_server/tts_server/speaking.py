"""One reply's sound, spoken ahead of its listener: the next sentence while this one is on its way.

speak(line 1) speak(line 2) ...   ->   samples waiting   ->   take() by whoever encodes and sends

A listener that is slow stops the speaking between two lines, never inside one: an engine's process is not held for
it. A line is spoken a second time when its engine fails before any of its sound was taken and other lines' was; what
was taken is never repeated, so after that the failure ends the reply.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing

import numpy as np

from tts_server.audio import Resampler
from tts_server.engines.speaker import Samples, Speaker
from tts_server.errors import EngineError
from tts_server.routing import Line

AHEAD_SECONDS = 10.0
"""Of sound that waits before the next line is begun."""


class Speaking:
    """The sound of `lines`, all at the rate of the first one's speaker. Begins at once; always `stop` it."""

    def __init__(
        self, lines: Sequence[Line], speakers: Mapping[str, Speaker], on_retry: Callable[[str], None] = lambda _: None
    ) -> None:
        self.degraded = False
        """Whether another speaks than the lines say: nothing to keep under their names."""
        self._lines = lines
        self._speakers = speakers
        self._on_retry = on_retry
        self.sample_rate_hz = speakers[lines[0].model].sample_rate_hz
        self._waiting: deque[Samples] = deque()
        self._waiting_samples = 0
        self._parts_of_line = 0
        """Of the line being spoken, how many parts wait."""
        self._taken_of_line = False
        self._changed = asyncio.Event()
        """Something to take, or the end."""
        self._room = asyncio.Event()
        self._room.set()
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(lambda _: self._changed.set())

    @property
    def finished(self) -> bool:
        """Whether all of it is spoken, taken or not."""
        return self._task.done()

    async def first(self) -> None:
        """Return when there is sound. Raises what the engine raised instead."""
        while not self._waiting:
            if self._task.done():
                self._task.result()
                raise EngineError("The engine gave no sound at all.")
            await self._change()

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

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _run(self) -> None:
        for number, line in enumerate(self._lines):
            await self._room.wait()
            self._parts_of_line, self._taken_of_line = 0, False
            try:
                await self._speak(line)
            except EngineError:
                if number == 0 or self._taken_of_line:
                    raise
                self._drop_line()
                self._on_retry(line.model)
                await self._speak(line)

    async def _speak(self, line: Line) -> None:
        speaker = self._speakers[line.model]
        resampler = None
        if speaker.sample_rate_hz != self.sample_rate_hz:
            resampler = Resampler(speaker.sample_rate_hz, self.sample_rate_hz)
        async with aclosing(speaker.speak(line.utterance)) as parts:
            async for part in parts:
                self._put(part if resampler is None else resampler.feed(part))
        if resampler is not None:
            self._put(resampler.finish())

    def _put(self, samples: Samples) -> None:
        if samples.size == 0:
            return
        self._waiting.append(samples)
        self._parts_of_line += 1
        self._waiting_samples += samples.size
        if self._waiting_samples > AHEAD_SECONDS * self.sample_rate_hz:
            self._room.clear()
        self._changed.set()

    def _drop_line(self) -> None:
        """Forget what waits of a line that failed."""
        for _ in range(self._parts_of_line):
            self._waiting_samples -= self._waiting.pop().size
        self._parts_of_line = 0
        if self._waiting_samples <= AHEAD_SECONDS * self.sample_rate_hz:
            self._room.set()
