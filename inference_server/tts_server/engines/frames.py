"""The pipe between a worker and its parent: frames of one kind byte, a length of four bytes, and a payload.

parent -> worker   SPEAK (JSON: an utterance), CANCEL (empty: the utterance under way; ignored when there is none)
worker -> parent   READY (JSON: `sample_rate_hz`, `voices`) once, then for each SPEAK: AUDIO (int16, little endian: the
                   depth of every format that is served) any number of times and DONE (empty), or ERROR (JSON: `kind`,
                   `message`) in place of DONE.
                   An ERROR in place of READY: the engine cannot load.

A worker whose stdin ends exits at once. Whatever else comes over the pipe is a crash.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from enum import IntEnum

AUDIO_BYTES = 10_000
"""Largest AUDIO payload: small enough to be heard at once and to stop between two."""
FULL_SCALE = 32_767
"""The int16 of a sample of 1.0, and minus that of -1.0: what is served as 16 bit has them back unchanged."""
CONTROL_BYTES = 1_048_576
"""Largest payload of the other kinds."""
HEADER_BYTES = 5


class Kind(IntEnum):
    """The first byte of a frame."""

    SPEAK = 0x53
    CANCEL = 0x43
    READY = 0x52
    AUDIO = 0x41
    DONE = 0x44
    ERROR = 0x45


_HEADER = struct.Struct("<BI")
_AUDIO = int(Kind.AUDIO)


class BrokenFrame(ValueError):  # noqa: N818 - what happened
    """The bytes are no frame of this protocol."""


def frame(kind: Kind, payload: bytes = b"") -> bytes:
    """The bytes of one frame."""
    return _HEADER.pack(kind, len(payload)) + payload


def json_frame(kind: Kind, content: Mapping[str, object]) -> bytes:
    """A frame with JSON in it; lone surrogates travel as escapes."""
    return frame(kind, json.dumps(content).encode("ascii"))


def header(data: bytes | bytearray) -> tuple[Kind, int]:
    """The kind and the payload's length. Raises `BrokenFrame`."""
    number, length = _HEADER.unpack(data)
    try:
        kind = Kind(number)
    except ValueError:
        raise BrokenFrame(f"no frame begins with {number:#04x}") from None
    if length > (AUDIO_BYTES if kind is Kind.AUDIO else CONTROL_BYTES):
        raise BrokenFrame(f"a {kind.name} frame of {length} bytes is too long")
    return kind, length


def take_frames(received: bytearray) -> Iterator[tuple[Kind, bytes]]:
    """Take every whole frame off the front of what was received. Raises `BrokenFrame`."""
    start, size = 0, len(received)
    try:
        while size - start >= HEADER_BYTES:
            number, length = _HEADER.unpack_from(received, start)
            if number == _AUDIO and length <= AUDIO_BYTES:
                kind = Kind.AUDIO  # thirty times a sentence: not through the enumeration
            else:
                kind, length = header(received[start : start + HEADER_BYTES])
            end = start + HEADER_BYTES + length
            if size < end:
                return
            yield kind, bytes(received[start + HEADER_BYTES : end])
            start = end
    finally:
        del received[:start]
