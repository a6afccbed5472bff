"""A recording as bytes that leave this process: whatever comes back broken, cut off or under another key is not taken.

magic, 4 bytes | CRC-32 of all that follows, 4 bytes | key, 32 bytes | expires, audio seconds, length | content

A checksum and no digest: whoever may write here could make either, and it costs half as much, on a processor with
instructions for SHA-256.
"""

import struct
import zlib

from tts_server.cache.protocol import CachedReply

MAGIC = b"TTS2"
CHECKSUM = struct.Struct("<I")
KEY_BYTES = 32
FACTS = struct.Struct("<ddQ")
SEALED_FROM = len(MAGIC) + CHECKSUM.size
HEADER_BYTES = SEALED_FROM + KEY_BYTES + FACTS.size


def encode_entry(key: str, recording: CachedReply) -> bytes:
    """`recording` for safekeeping by others, under `key` only."""
    facts = FACTS.pack(recording.expires, recording.audio_seconds, len(recording.content))
    head = bytes.fromhex(key) + facts
    checksum = CHECKSUM.pack(zlib.crc32(recording.content, zlib.crc32(head)))
    return b"".join((MAGIC, checksum, head, recording.content))


def unseal(key: str, data: bytes) -> CachedReply | None:
    """The recording again; None where a single bit of it is not what was sealed."""
    if len(data) < HEADER_BYTES or not data.startswith(MAGIC):
        return None
    sealed = memoryview(data)[SEALED_FROM:]
    (checksum,) = CHECKSUM.unpack_from(data, len(MAGIC))
    if zlib.crc32(sealed) != checksum or sealed[:KEY_BYTES] != bytes.fromhex(key):
        return None
    expires, audio_seconds, length = FACTS.unpack_from(sealed, KEY_BYTES)
    content = bytes(sealed[KEY_BYTES + FACTS.size :])
    return CachedReply(content, audio_seconds, expires) if len(content) == length else None
