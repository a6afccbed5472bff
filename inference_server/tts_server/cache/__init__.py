"""The cache: whole audio, encoded, that was spoken before. A hit touches no engine."""

from tts_server.cache.key import cache_key
from tts_server.cache.protocol import Cache, CachedReply

__all__ = ["Cache", "CachedReply", "cache_key"]
