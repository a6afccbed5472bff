"""Text: from what a caller wrote to segments that an engine speaks one by one."""

from tts_server.text.chunks import passages
from tts_server.text.segments import Segment, segments

__all__ = ["TEXT_VERSION", "Segment", "passages", "segments"]

TEXT_VERSION = 1
"""Raise it when what is done to a text between its segments and an engine changes: cached audio is spoken anew then."""
