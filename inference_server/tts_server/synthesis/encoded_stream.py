"""A sound as it is made: spoken, then encoded, one part after the other, by whoever wants the next one.

As long as nothing of it has left, another model may speak in place of one that failed, from the beginning.
"""

from collections.abc import Callable, Iterable

from tts_server.audio import Encoding, as_file
from tts_server.errors import EngineError
from tts_server.synthesis.audio_stream import Part
from tts_server.synthesis.sample_stream import SampleStream
from tts_server.telemetry.tracing import INVALID_SPAN, Span, start_span

Void = Callable[[], bool]
"""Forget what was made so far, because another model begins again; False where some of it has left."""


class EncodedStream:
    """One at a time may ask it for something. Always `stop` it."""

    def __init__(self, speaking: SampleStream, encoding: Encoding) -> None:
        self._speaking = speaking
        self._encoding = encoding
        self._ended = False
        self._span: Span = INVALID_SPAN
        self.seconds = 0.0
        """Of sound, encoded so far."""

    @property
    def finished(self) -> bool:
        """See `Sound.finished`."""
        return self._speaking.finished

    @property
    def all_taken(self) -> bool:
        """Whether only an end is left to write."""
        return self._speaking.ended

    @property
    def spoken_by(self) -> str:
        """See `Sound.spoken_by`."""
        return self._speaking.lines[0].model if self._speaking.degraded else ""

    def promote(self) -> None:
        """See `SampleStream.hurry`."""
        self._speaking.promote()

    async def settle(self, seconds: float) -> None:
        """See `Sound.settle`."""
        await self._speaking.settle(seconds)

    async def first(self) -> None:
        """See `Sound.first`; before any part, once."""
        await self._speaking.first()
        self._span = start_span("encode")

    async def make(self, void: Void) -> Part | None:
        """The next part, None after the last. Raises `EngineError` where nobody is left to make it."""
        data = b""
        while not data:
            if self._ended:
                self._end_span()
                return None
            try:
                data = await self._encoded()
            except EngineError as error:
                if not void() or not await self._speaking.fall_back(error):
                    raise
                self._encoding.encoder = self._encoding.begin()
                self.seconds = 0.0
        return data, self.seconds

    def file(self, parts: Iterable[bytes]) -> bytes:
        """All of its parts, as who did not hear it come gets it."""
        return as_file(parts, self._encoding.format)

    async def stop(self) -> None:
        """Whatever is being made stops; safe at any time."""
        await self._speaking.stop()
        self._end_span()

    def _end_span(self) -> None:
        span, self._span = self._span, INVALID_SPAN
        span.set_attribute("tts.audio_seconds", self.seconds)
        span.set_attribute("tts.encode_seconds", self._encoding.busy_seconds)
        span.end()

    async def _encoded(self) -> bytes:
        samples = await self._speaking.take()
        if samples is None:
            rest = await self._encoding.finish()
            self._ended = True
            return rest
        rate_hz = self._speaking.sample_rate_hz
        self.seconds += samples.size / rate_hz
        return await self._encoding.feed(samples, rate_hz)


class UnsharedStream(EncodedStream):
    """`Sound` that nobody else hears: it is made as it is taken, and forgotten."""

    def __init__(self, speaking: SampleStream, encoding: Encoding) -> None:
        super().__init__(speaking, encoding)
        self._sent = False

    async def part(self) -> Part | None:
        """See `Sound.part`."""
        part = await self.make(lambda: not self._sent)
        self._sent = True
        return part

    async def whole(self) -> Part:
        """See `Sound.whole`."""
        parts: list[bytes] = []

        def void() -> bool:
            parts.clear()
            return True

        while (part := await self.make(void)) is not None:
            parts.append(part[0])
        return self.file(parts), self.seconds

    async def leave(self) -> None:
        """See `Sound.leave`."""
        await self.stop()
