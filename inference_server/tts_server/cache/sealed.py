"""A recording as bytes that leave this process: whatever comes back broken, cut off or under another key is not taken.

magic, 4 bytes | SHA-256 of the key and all that follows, 32 bytes | expires, audio seconds, length | content
"""

import hashlib
import hmac
import struct

from tts_server.cache.protocol import Recording

MAGIC = b"TTS1"
FACTS = struct.Struct("<ddQ")
HEADER_BYTES = len(MAGIC) + hashlib.sha256().digest_size + FACTS.size


def seal(key: str, recording: Recording) -> bytes:
    """`recording` for safekeeping by others, under `key` only."""
    facts = FACTS.pack(recording.expires, recording.audio_seconds, len(recording.content))
    return b"".join((MAGIC, _digest(key, facts, recording.content), facts, recording.content))


def unseal(key: str, data: bytes) -> Recording | None:
    """The recording again; None where a single bit of it is not what was sealed."""
    if len(data) < HEADER_BYTES or not data.startswith(MAGIC):
        return None
    body = memoryview(data)[HEADER_BYTES - FACTS.size :]
    if not hmac.compare_digest(_digest(key, body), data[len(MAGIC) : HEADER_BYTES - FACTS.size]):
        return None
    expires, audio_seconds, length = FACTS.unpack_from(body)
    content = bytes(body[FACTS.size :])
    return Recording(content, audio_seconds, expires) if len(content) == length else None


def _digest(key: str, *parts: bytes | memoryview) -> bytes:
    digest = hashlib.sha256(key.encode("ascii"))
    for part in parts:
        digest.update(part)
    return digest.digest()
