"""A sound on its way: spoken and encoded once, heard by everyone who asks for the same while it lasts.

Making -> parts so far -> listener, listener, ...

It is made as fast as its fastest listener takes it, and no faster: a slow one finds its parts later, all there. It ends
when all is encoded, when nobody is left who can speak it, or when its last listener leaves. As long as nobody has taken
a part to send it, another model may speak in place of one that failed, from the beginning.
"""

import asyncio
from collections.abc import Awaitable, Callable

from tts_server.errors import EngineError
from tts_server.scheduling.fair_queue import Priority
from tts_server.synthesis.audio_stream import AudioStream, Part
from tts_server.synthesis.encoded_stream import EncodedStream

SHARED_BYTES = 8 * 1024 * 1024
"""Of one sound. What is longer is not cached, and what all of its listeners have heard of it is forgotten."""

OnWhole = Callable[[bytes, float], Awaitable[None]]


class CoalescedStream:
    """One sound being made. `on_whole` gets the file and its seconds of sound, if it comes to its end."""

    def __init__(self, making: EncodedStream, on_whole: OnWhole) -> None:
        self._making = making
        self._on_whole = on_whole
        self._listeners: set[Subscriber] = set()
        self._parts: list[Part] = []
        self._forgotten = 0
        """Parts before the first of those."""
        self._bytes = 0
        self.sounding = False
        self.over = False
        """No more parts will come."""
        self._whole = False
        self._sent = False
        """Somebody has a part: what comes after it must be the same voice."""
        self._failure: Exception | None = None
        self._wanted = asyncio.Event()
        """Somebody waits for the next part; the first one is wanted from the beginning."""
        self._wanted.set()
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    @property
    def open(self) -> bool:
        """Whether one more listener would hear all of it: not yet over, nothing forgotten."""
        return not self.over and self._keeping

    @property
    def finished(self) -> bool:
        """See `AudioStream.finished`."""
        return self._making.finished

    @property
    def spoken_by(self) -> str:
        """See `AudioStream.spoken_by`."""
        return self._making.spoken_by

    @property
    def seconds(self) -> float:
        """Of sound, encoded so far."""
        return self._making.seconds

    def listen(self) -> "Subscriber":
        """One more, from the beginning; `open` flights only."""
        listener = Subscriber(self)
        self._listeners.add(listener)
        return listener

    def promote(self) -> None:
        """See `SampleStream.hurry`."""
        self._making.promote()

    def when_over(self, call: Callable[[], None]) -> None:
        """Once, after its last part was made or it failed."""
        self._task.add_done_callback(lambda _: call())

    async def settle(self, seconds: float) -> None:
        """See `AudioStream.settle`."""
        await self._making.settle(seconds)

    async def wait_for_first(self) -> None:
        """See `AudioStream.first`."""
        while not self.sounding:
            if self.over:
                self._end()
            await self._changed.wait()

    async def part(self, number: int) -> Part | None:
        """Part `number`, counted from 0; None after the last one. Raises what ended it too early."""
        while number - self._forgotten >= len(self._parts):
            if self.over:
                self._end()
                return None
            self._wanted.set()
            await self._changed.wait()
        self._sent = True
        return self._parts[number - self._forgotten]

    async def whole(self) -> Part:
        """See `AudioStream.whole`: nothing is sent before the end, so another model may still begin anew."""
        while not self.over:
            self._wanted.set()
            await self._changed.wait()
        self._end()
        return self._file(), self.seconds

    def heard(self) -> None:
        """A listener went on by one part, or left."""
        if self._keeping:
            return
        slowest = min((listener.position for listener in self._listeners), default=self._forgotten)
        del self._parts[: slowest - self._forgotten]
        self._forgotten = max(slowest, self._forgotten)

    async def leave(self, listener: "Subscriber") -> None:
        """The last one turns out the light."""
        self._listeners.discard(listener)
        self.heard()
        if self._listeners:
            return
        if not self.over:
            self.over = True  # from here on nobody joins
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._making.stop()  # a task that was cancelled before it began has stopped nothing

    @property
    def _keeping(self) -> bool:
        return self._bytes <= SHARED_BYTES

    def _file(self) -> bytes:
        return self._making.file(part for part, _ in self._parts)

    def _end(self) -> None:
        if not self._whole:
            raise self._failure or EngineError("The sound broke off.")

    async def _run(self) -> None:
        try:
            await self._making.first()
            self.sounding = True
            self._tell()
            await self._make()
            self._whole = True
            if self._keeping:
                await self._on_whole(self._file(), self.seconds)
        except Exception as error:  # its listeners raise it, each for its own caller
            self._failure = error
        finally:
            self.over = True
            self._tell()
            await self._making.stop()

    async def _make(self) -> None:
        while True:
            if not self._making.all_taken:
                await self._wanted.wait()
            part = await self._making.make(self._void)
            if part is None:
                return
            self._parts.append(part)
            self._bytes += len(part[0])
            self._wanted.clear()
            self._tell()

    def _void(self) -> bool:
        """See `Void`."""
        if self._sent:
            return False
        self._parts.clear()
        self._bytes = 0
        self._wanted.set()
        return True

    def _tell(self) -> None:
        """Wake everyone who waits now."""
        self._changed.set()
        self._changed.clear()


class Subscriber:
    """`AudioStream` of a flight."""

    def __init__(self, flight: CoalescedStream) -> None:
        self._flight = flight
        self.position = 0
        """The next part to hear."""

    @property
    def finished(self) -> bool:
        """See `AudioStream.finished`."""
        return self._flight.finished

    @property
    def spoken_by(self) -> str:
        """See `AudioStream.spoken_by`."""
        return self._flight.spoken_by

    async def first(self) -> None:
        """See `AudioStream.first`."""
        await self._flight.wait_for_first()

    async def settle(self, seconds: float) -> None:
        """See `AudioStream.settle`."""
        await self._flight.settle(seconds)

    async def part(self) -> Part | None:
        """See `AudioStream.part`."""
        part = await self._flight.part(self.position)
        if part is not None:
            self.position += 1
            self._flight.heard()
        return part

    async def whole(self) -> Part:
        """See `AudioStream.whole`."""
        return await self._flight.whole()

    async def leave(self) -> None:
        """See `AudioStream.leave`."""
        await self._flight.leave(self)


class Coalescer:
    """Those of one scene, by what they sound like."""

    def __init__(self) -> None:
        self._coalescer: dict[str, CoalescedStream] = {}

    def __contains__(self, key: str) -> bool:
        flight = self._coalescer.get(key)
        return flight is not None and flight.open

    def __len__(self) -> int:
        return len(self._coalescer)

    def join(
        self, key: str, begin: Callable[[], CoalescedStream], priority: Priority = Priority.INTERACTIVE
    ) -> AudioStream:
        """What is on its way under `key`, else what `begin` makes. Raises what `begin` raises.

        A flight is as urgent as the most urgent who ever joined it.
        """
        if key not in self:
            flight = self._coalescer[key] = begin()
            flight.when_over(lambda: self._forget(key, flight))
        elif priority is Priority.INTERACTIVE:
            self._coalescer[key].promote()
        return self._coalescer[key].listen()

    def _forget(self, key: str, flight: CoalescedStream) -> None:
        if self._coalescer.get(key) is flight:
            del self._coalescer[key]
