"""Encodes one reply: short computations on the event loop, longer ones in a thread."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tts_server.audio.encoders import Encoder
from tts_server.audio.threads import EncodingThreads
from tts_server.samples import Samples


@dataclass(slots=True)
class Encoding:
    """The encoder of one reply. Raises what `make_encoder` raises."""

    format: str
    make_encoder: Callable[[], Encoder]
    threads: EncodingThreads
    encoder: Encoder = field(init=False)
    busy_seconds: float = 0.0
    """Time spent encoding."""

    def __post_init__(self) -> None:
        self.encoder = self.make_encoder()

    def restart(self) -> None:
        """Begin again with an empty encoder."""
        self.encoder = self.make_encoder()

    async def feed(self, samples: Samples, rate_hz: int) -> bytes:
        """Return the bytes that are ready after these samples, see `Encoder.feed`."""
        begun = time.monotonic()
        if samples.size < self.encoder.inline_seconds * rate_hz:
            part = self.encoder.feed(samples)
        else:
            part = await self.threads.run(self.encoder.feed, samples)
        self.busy_seconds += time.monotonic() - begun
        return part

    async def finish(self) -> bytes:
        """Return the remaining bytes, see `Encoder.finish`."""
        return self.encoder.finish() if self.encoder.inline_seconds else await self.threads.run(self.encoder.finish)
