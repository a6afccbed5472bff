"""The cache: whole audio, encoded, that was spoken before. A hit touches no engine."""

from tts_server.cache.key import cache_key
from tts_server.cache.protocol import Cache, Recording

__all__ = ["Cache", "Recording", "cache_key"]
