"""One sound's way through its encoder: where it is cheap right here, else in a thread."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from tts_server.audio.encoders import Encoder
from tts_server.audio.threads import EncodingThreads
from tts_server.samples import Samples


@dataclass(slots=True)
class Encoding:
    """How samples become bytes."""

    format: str
    encoder: Encoder
    begin: Callable[[], Encoder]
    """Another encoder, for a sound that begins again."""
    threads: EncodingThreads
    busy_seconds: float = 0.0
    """So far; the rest of the time it waited for samples, or for listeners."""

    async def feed(self, samples: Samples, rate_hz: int) -> bytes:
        """See `Encoder.feed`."""
        begun = time.monotonic()
        if samples.size < self.encoder.free_seconds * rate_hz:
            part = self.encoder.feed(samples)
        else:
            part = await self.threads.run(self.encoder.feed, samples)
        self.busy_seconds += time.monotonic() - begun
        return part

    async def finish(self) -> bytes:
        """See `Encoder.finish`."""
        return self.encoder.finish() if self.encoder.free_seconds else await self.threads.run(self.encoder.finish)
