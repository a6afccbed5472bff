"""Cache entries as bytes for a store. An entry that is corrupt, truncated or stored under another key is not decoded.

magic, 4 bytes | CRC-32 of all that follows, 4 bytes | key, 32 bytes | expires, audio seconds, length | content

The checksum is no protection against an attacker: whoever can write to the store could compute a digest, too. It costs
half as much as SHA-256 on a processor with instructions for it.
"""

import struct
import zlib

from tts_server.cache.protocol import CachedReply

MAGIC = b"TTS2"
CHECKSUM = struct.Struct("<I")
KEY_BYTES = 32
FACTS = struct.Struct("<ddQ")
CHECKED_FROM = len(MAGIC) + CHECKSUM.size
HEADER_BYTES = CHECKED_FROM + KEY_BYTES + FACTS.size


def encode_entry(key: str, entry: CachedReply) -> bytes:
    """The bytes to store under `key`."""
    facts = FACTS.pack(entry.expires, entry.audio_seconds, len(entry.content))
    head = bytes.fromhex(key) + facts
    checksum = CHECKSUM.pack(zlib.crc32(entry.content, zlib.crc32(head)))
    return b"".join((MAGIC, checksum, head, entry.content))


def decode_entry(key: str, data: bytes) -> CachedReply | None:
    """The entry, or None if any bit differs from what `encode_entry` wrote."""
    if len(data) < HEADER_BYTES or not data.startswith(MAGIC):
        return None
    checked = memoryview(data)[CHECKED_FROM:]
    (checksum,) = CHECKSUM.unpack_from(data, len(MAGIC))
    if zlib.crc32(checked) != checksum or checked[:KEY_BYTES] != bytes.fromhex(key):
        return None
    expires, audio_seconds, length = FACTS.unpack_from(checked, KEY_BYTES)
    content = bytes(checked[KEY_BYTES + FACTS.size :])
    return CachedReply(content, audio_seconds, expires) if len(content) == length else None
