"""Text: from what a caller wrote to segments that an engine speaks one by one."""

from tts_server.text.segments import Segment, segments

__all__ = ["Segment", "segments"]
