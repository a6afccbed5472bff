"""The cache of complete encoded replies. A hit needs no engine."""

from tts_server.cache.key import cache_key
from tts_server.cache.protocol import Cache, CachedReply

__all__ = ["Cache", "CachedReply", "cache_key"]
