"""One synthesis shared by identical requests; it is cancelled when the last subscriber leaves.

EncodedStream -> parts so far -> subscriber, subscriber, ...

Parts are encoded at the pace of the fastest subscriber; slower ones find theirs later, all there. The stream ends when
everything is encoded, when no model is left to try, or when its last subscriber closes. As long as no subscriber has
taken a part to send it, a fallback model may begin again.
"""

import asyncio
from collections.abc import Awaitable, Callable

from tts_server.errors import EngineError
from tts_server.synthesis.audio_stream import Part
from tts_server.synthesis.encoded_stream import EncodedStream

RETAINED_BYTES = 8 * 1024 * 1024
"""Largest audio that is retained for late subscribers and the cache; of longer audio, parts that all have read go."""

OnComplete = Callable[[bytes, float], Awaitable[None]]
"""Called with the whole file and its duration in seconds."""


class CoalescedStream:
    """Runs one synthesis for its subscribers.

    `on_complete` is awaited when all is encoded, unless the audio was too long to retain. Without it only parts that a
    subscriber has yet to read are retained.
    """

    def __init__(self, encoded: EncodedStream, on_complete: OnComplete | None = None) -> None:
        self.encoded = encoded
        self.over = False
        """Whether no more parts will come."""
        self._on_complete = on_complete
        self._subscribers: set[Subscriber] = set()
        self._parts: list[Part] = []
        self._dropped = 0
        """Number of parts before the first of `_parts`."""
        self._bytes = 0
        """Size of all parts so far, dropped ones included."""
        self._started = False
        self._succeeded = False
        self._sent = False
        """Whether a subscriber has taken a part to send it: no other voice may follow."""
        self._failure: Exception | None = None
        self._demand = asyncio.Event()
        """Set while a subscriber waits for the next part, and before the first one."""
        self._demand.set()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = asyncio.create_task(self._run())
        """Cleared once the last subscriber has left."""

    @property
    def joinable(self) -> bool:
        """Whether a new subscriber would receive everything: parts are still to come, and none was dropped."""
        return not self.over and self._retains

    def subscribe(self) -> "Subscriber":
        """Add a subscriber that receives the stream from its start. Only while `joinable`, or as the first."""
        subscriber = Subscriber(self)
        self._subscribers.add(subscriber)
        return subscriber

    def when_over(self, call: Callable[[], None]) -> None:
        """Call `call` once, after the last part or the failure."""
        assert self._task is not None  # noqa: S101 - it has a subscriber
        self._task.add_done_callback(lambda _: call())

    async def wait_started(self) -> None:
        """Return once there is audio; raise what prevented it."""
        while not self._started:
            if self.over:
                self._raise_unless_succeeded()
            await self._changed.wait()

    async def part(self, number: int) -> Part | None:
        """Return part `number`, counted from 0; None after the last. Raises what ended the stream too early."""
        while number - self._dropped >= len(self._parts):
            if self.over:
                self._raise_unless_succeeded()
                return None
            self._demand.set()
            await self._changed.wait()
        self._sent = True
        return self._parts[number - self._dropped]

    async def whole(self) -> Part:
        """Return the whole file. Nothing is sent before the end, so that a fallback model may still begin again."""
        while not self.over:
            self._demand.set()
            await self._changed.wait()
        self._raise_unless_succeeded()
        return self._file(), self.encoded.seconds

    async def wait_whole(self, timeout_seconds: float, max_bytes: int) -> bool:
        """Return whether all is encoded within the time and the size. Nothing counts as sent meanwhile."""
        try:
            async with asyncio.timeout(timeout_seconds):
                while not self.over and self._bytes <= max_bytes:
                    self._demand.set()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return self._bytes <= max_bytes

    def drop_read_parts(self) -> None:
        """Drop what every subscriber has read, if the audio is not retained."""
        if self._retains:
            return
        slowest = min((subscriber.position for subscriber in self._subscribers), default=self._dropped)
        del self._parts[: slowest - self._dropped]
        self._dropped = max(slowest, self._dropped)

    async def unsubscribe(self, subscriber: "Subscriber") -> None:
        """Remove a subscriber; cancel the synthesis after the last. Safe to call twice."""
        self._subscribers.discard(subscriber)
        if self._subscribers:
            self.drop_read_parts()
            return
        task, over = self._task, self.over
        self.over = True  # before the first await: no subscriber may join from here on
        # A task keeps the exception that ended it, and that the frames that it passed, `self` of `_run` among them: an
        # attribute that led there would keep all audio in memory until a full collection of garbage.
        self._task = None
        if task is None:
            return
        if not over:
            task.cancel()
        if not task.done():
            await asyncio.wait([task])
        self._failure = None
        self._parts.clear()
        if task.cancelled():
            await self.encoded.stop()  # a task that was cancelled before its first step has stopped nothing

    @property
    def _retains(self) -> bool:
        return self._on_complete is not None and self._bytes <= RETAINED_BYTES

    def _file(self) -> bytes:
        return self.encoded.file(part for part, _ in self._parts)

    def _raise_unless_succeeded(self) -> None:
        if not self._succeeded:
            raise self._failure or EngineError("Synthesis was cancelled.")

    async def _run(self) -> None:
        try:
            await self.encoded.start()
            self._started = True
            self._wake()
            await self._encode()
            self._succeeded = True
            if self._on_complete is not None and self._retains:
                await self._on_complete(self._file(), self.encoded.seconds)
        except Exception as error:  # its subscribers raise it, each for its own client
            self._failure = error
        finally:
            self.over = True
            self._wake()
            await self.encoded.stop()

    async def _encode(self) -> None:
        while True:
            if not self.encoded.samples.exhausted:  # else only the container's trailer is left: no need to wait
                await self._demand.wait()
            part = await self.encoded.next_part(self._discard)
            if part is None:
                return
            self._parts.append(part)
            self._bytes += len(part[0])
            self._demand.clear()
            self._wake()

    def _discard(self) -> bool:
        """Implement `encoded_stream.Discard`."""
        if self._sent:
            return False
        self._parts.clear()
        self._bytes = 0
        self._demand.set()
        return True

    def _wake(self) -> None:
        """Wake every subscriber that waits now."""
        self._changed.set()
        self._changed.clear()


class Subscriber:
    """`AudioStream` of a `CoalescedStream`: one client's position in it."""

    def __init__(self, stream: CoalescedStream) -> None:
        self.stream = stream
        self.position = 0
        """Number of the next part to read."""

    @property
    def complete(self) -> bool:
        return self.stream.encoded.samples.complete

    @property
    def fallback_model(self) -> str:
        return self.stream.encoded.samples.fallback_model

    @property
    def fallback_reason(self) -> str:
        return self.stream.encoded.samples.fallback_reason

    async def start(self) -> None:
        await self.stream.wait_started()

    async def wait_complete(self, timeout_seconds: float) -> None:
        await self.stream.encoded.samples.wait_complete(timeout_seconds)

    async def wait_whole(self, timeout_seconds: float, max_bytes: int) -> bool:
        return await self.stream.wait_whole(timeout_seconds, max_bytes)

    async def part(self) -> Part | None:
        part = await self.stream.part(self.position)
        if part is not None:
            self.position += 1
            self.stream.drop_read_parts()
        return part

    async def whole(self) -> Part:
        return await self.stream.whole()

    async def close(self) -> None:
        await self.stream.unsubscribe(self)
