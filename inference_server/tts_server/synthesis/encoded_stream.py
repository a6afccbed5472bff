"""The encoded audio of one reply, made part by part on demand."""

from collections.abc import Callable, Iterable

from tts_server.audio import Encoding, as_file
from tts_server.errors import EngineError
from tts_server.synthesis.audio_stream import Part
from tts_server.synthesis.sample_stream import SampleStream
from tts_server.telemetry.tracing import INVALID_SPAN, Span, start_span

Discard = Callable[[], bool]
"""Discards all parts so far, because a fallback model begins again; returns False if some of them were sent."""


class EncodedStream:
    """Encodes a sample stream. Single consumer; call `stop` in any case."""

    def __init__(self, samples: SampleStream, encoding: Encoding) -> None:
        self.samples = samples
        self.seconds = 0.0
        """Duration of the audio encoded so far."""
        self._encoding = encoding
        self._ended = False
        self._span: Span = INVALID_SPAN

    async def start(self) -> None:
        """Return once there are samples. Call it once, before `next_part`. Raises `EngineError` if there are none."""
        await self.samples.start()
        self._span = start_span("encode")

    async def next_part(self, discard: Discard) -> Part | None:
        """Return the next part, or None after the last.

        If the engine fails, `discard` decides whether a fallback model may begin again; raises `EngineError` if not.
        """
        data = b""
        while not data:
            if self._ended:
                self._end_span()
                return None
            try:
                data = await self._encode()
            except EngineError as error:
                if not discard() or not await self.samples.fall_back(error):
                    raise
                self._encoding.restart()
                self.seconds = 0.0
        return data, self.seconds

    def file(self, parts: Iterable[bytes]) -> bytes:
        """Join all parts into a file with its true length in the header."""
        return as_file(parts, self._encoding.format)

    async def stop(self) -> None:
        """Cancel the synthesis. Safe to call at any time."""
        await self.samples.stop()
        self._end_span()

    async def _encode(self) -> bytes:
        samples = await self.samples.read()
        if samples is None:
            rest = await self._encoding.finish()
            self._ended = True
            return rest
        rate_hz = self.samples.sample_rate_hz
        self.seconds += samples.size / rate_hz
        return await self._encoding.feed(samples, rate_hz)

    def _end_span(self) -> None:
        span, self._span = self._span, INVALID_SPAN
        span.set_attribute("tts.audio_seconds", self.seconds)
        span.set_attribute("tts.encode_seconds", self._encoding.busy_seconds)
        span.end()
