"""One speech request, checked, and its statistics."""

import time
from dataclasses import dataclass, field

from tts_server.auth.authenticate import Share
from tts_server.routing.voice_selection import VoiceSelector
from tts_server.scheduling.fair_queue import Priority

HIT, SHARED, MISS = "hit", "shared", "miss"
"""What the cache made of a request: it had the audio, others were hearing it already, it was spoken anew."""


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """What a caller wants, whichever route it came by. Its values have the right types; nothing more is known."""

    text: str
    wish: VoiceSelector
    format: str
    share: Share
    """Whose it is."""
    sample_rate_hz: int | None = None
    priority: Priority = Priority.INTERACTIVE
    prepared: bool = False
    """One segment, in `wish.language`, counted already: the tenant's entry pool asks."""
    text_param: str = "input"
    """What the route calls the text, for its errors."""
    client: str = ""
    """Who asks, among the tenant's callers."""
    plays: bool = True
    """Whether its caller may hear it as it comes, and not all of it at its end."""
    due_in_seconds: float | None = None
    """When its sound is needed, negative where it is late; None: now."""


@dataclass(slots=True)
class RequestStats:
    """What a request came to, for metrics and its line in the log; names are configured ones or empty."""

    model: str = ""
    voice: str = ""
    precision: str = ""
    text_characters: int = 0
    begun: float = field(default_factory=time.monotonic)
    first_audio: float | None = None
    first_byte: float | None = None
    audio_seconds: float = 0.0
    """Sent, or handed over as a whole."""
    spoken_by: str = ""
    """The model that spoke in place of `model`, if one did."""
    cache: str = ""
    """`HIT`, `SHARED` or `MISS`; empty where nothing is cached."""

    @property
    def spoken_seconds(self) -> float:
        """Of what was sent, what an engine spoke for it or for one like it: the cache's sound costs nothing again."""
        return 0.0 if self.cache == HIT else self.audio_seconds
