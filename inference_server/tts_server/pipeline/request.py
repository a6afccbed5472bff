"""One validated speech request, and what was measured while it was served."""

import time
from dataclasses import dataclass, field

from tts_server.auth.authenticate import Share
from tts_server.routing.voice_selection import VoiceSelector
from tts_server.scheduling.fair_queue import Priority

HIT, SHARED, MISS = "hit", "shared", "miss"
"""Cache outcomes: the audio was cached, was being synthesized for another request, or had to be synthesized."""


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """A request, whichever route it came by. The types of its values are checked, the values are not."""

    text: str
    selector: VoiceSelector
    format: str
    share: Share
    """The tenant that sent it, and its weight."""
    sample_rate_hz: int | None = None
    priority: Priority = Priority.INTERACTIVE
    prepared: bool = False
    """Whether the tenant's entry pool sent it: one segment in `selector.language`, already counted."""
    text_param: str = "input"
    """The route's name for the text, used in errors."""
    client: str = ""
    """Identifies the client within its tenant."""
    streaming: bool = True
    """Whether the client may play the audio while it arrives."""
    due_in_seconds: float | None = None
    """When the audio is needed, negative if it is late; None for at once."""


@dataclass(slots=True)
class RequestStats:
    """Measurements of one request for metrics and its log line. Names are configured ones or empty."""

    model: str = ""
    voice: str = ""
    precision: str = ""
    text_characters: int = 0
    begun: float = field(default_factory=time.monotonic)
    first_audio: float | None = None
    first_byte: float | None = None
    audio_seconds: float = 0.0
    """Duration of the audio that was sent or stored."""
    spoken_by: str = ""
    """The fallback model that synthesized instead of `model`; empty if none did."""
    cache: str = ""
    """`HIT`, `SHARED` or `MISS`; empty if the cache was not asked."""

    @property
    def spoken_seconds(self) -> float:
        """Duration of the sent audio that an engine synthesized for this request or an identical one; 0 for a hit."""
        return 0.0 if self.cache == HIT else self.audio_seconds
