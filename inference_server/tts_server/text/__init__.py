"""Text: splits the text of a request into segments, which an engine synthesizes one by one."""

from tts_server.text.chunks import passages
from tts_server.text.pauses import Pause
from tts_server.text.segments import Segment, segments

__all__ = ["TEXT_VERSION", "Pause", "Segment", "passages", "segments"]

TEXT_VERSION = 3
"""Version of the text processing, part of the cache key. Raise it when segments of the same text change."""
