"""The protocol between a worker and its parent: frames of a kind byte, a four-byte length, and a payload.

parent -> worker   SPEAK (JSON: an utterance) on stdin: one at a time, and at most the next before that one has ended
worker -> parent   READY (JSON: `sample_rate_hz`, `voices`) once, then for each SPEAK any number of AUDIO (int16, little
                   endian) and a DONE (empty), or an ERROR (JSON: `kind`, `message`) instead of DONE. SHARED replaces
                   AUDIO if the samples are in shared memory (`shared_buffer.py`): it says where, and how many bytes.
                   An ERROR instead of READY: the engine cannot load. READY may also have `real_time_factor` (seconds
                   of the warm-up per second of its audio), `passage_characters`, `pause_scales` (pairs),
                   `voice_genders` and `blends_voices` (see `Engine`), and of an engine that can batch `voice_groups`
                   and the measured cost of a batch, `batch` (`size`, `single_seconds`, `batch_seconds`).

Before the first AUDIO of a SPEAK or a BATCH there may be some UNREAD (JSON: `reasons`): numbers in the text that could
not be written in words, or none yet, while what writes them is loaded.

BATCH (JSON: `utterances`) replaces SPEAK for several utterances at once. AUDIO, DONE and ERROR are then inside MEMBER
frames, whose payload begins with the inner kind and the number of the utterance in its batch; a DONE outside ends the
batch. Cancellations count the utterances of a batch one by one.

A second pipe to the worker carries cancellations, which it must receive while it computes: the number of the utterance,
counted from 1. The number of an utterance that has ended has no effect.

A worker exits as soon as one of its pipes ends. Anything else on the pipes counts as a crash.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from enum import IntEnum

HEADER_BYTES = 5
PIPE_BYTES = 1_048_576
"""Capacity of the pipe to the parent: the most that Linux grants without privileges.

A passage of 20 s that does not go through shared memory fits, so that its worker is free for the next.
"""
AUDIO_BYTES = PIPE_BYTES - 2 * HEADER_BYTES
"""Largest AUDIO payload: it fits into the pipe together with its DONE."""
CONTROL_BYTES = 1_048_576
"""Largest payload of the other kinds."""


class Kind(IntEnum):
    """The first byte of a frame."""

    SPEAK = 0x53
    BATCH = 0x42
    MEMBER = 0x4D
    READY = 0x52
    AUDIO = 0x41
    SHARED = 0x48
    DONE = 0x44
    ERROR = 0x45
    UNREAD = 0x55


AUDIO_KINDS = frozenset({Kind.AUDIO, Kind.SHARED})
"""Kinds that carry samples."""

_HEADER = struct.Struct("<BI")
_MEMBER = struct.Struct("<BH")
_RANGE = struct.Struct("<II")
_NUMBER = struct.Struct("<Q")
NUMBER_BYTES = _NUMBER.size
_KINDS = {int(kind): kind for kind in Kind}

Frame = tuple[Kind, memoryview]
"""A kind and its payload."""


class BrokenFrame(ValueError):  # noqa: N818 - named after what happened
    """The bytes are no frame of this protocol."""


class PipeEnded(Exception):  # noqa: N818 - named after what happened
    """No more frames come: the worker has ended, or the pipe was closed here."""


def header(kind: Kind, payload_bytes: int) -> bytes:
    """Return the header of a frame whose payload has so many bytes."""
    return _HEADER.pack(kind, payload_bytes)


def frame(kind: Kind, payload: bytes = b"") -> bytes:
    """Return the bytes of one frame."""
    return header(kind, len(payload)) + payload


def json_frame(kind: Kind, content: Mapping[str, object]) -> bytes:
    """Return a frame with a JSON payload; lone surrogates are escaped."""
    return frame(kind, json_payload(content))


def json_payload(content: Mapping[str, object]) -> bytes:
    """Return a JSON payload; `json_content` is the inverse."""
    return json.dumps(content).encode("ascii")


def json_content(payload: memoryview) -> dict[str, object]:
    """Parse a JSON payload."""
    content: dict[str, object] = json.loads(bytes(payload))
    return content


def member_frame(kind: Kind, number: int, payload: bytes | memoryview = b"") -> list[bytes | memoryview]:
    """Return the pieces of a MEMBER frame: a frame of utterance `number` of a batch, counted from 0."""
    return [header(Kind.MEMBER, _MEMBER.size + len(payload)), _MEMBER.pack(kind, number), payload]


def member_content(payload: memoryview) -> tuple[Kind, int, memoryview]:
    """Parse the payload of a MEMBER frame: inner kind, utterance number, inner payload. Raises `BrokenFrame`."""
    if len(payload) < _MEMBER.size:
        raise BrokenFrame("a MEMBER frame is too short")
    kind, number = _MEMBER.unpack_from(payload)
    if kind not in _KINDS:
        raise BrokenFrame(f"no member's frame begins with {kind:#04x}")
    return _KINDS[kind], number, payload[_MEMBER.size :]


def shared_frame(start: int, size: int) -> bytes:
    """Return a frame that announces `size` bytes of samples at `start` in the shared memory."""
    return frame(Kind.SHARED, _RANGE.pack(start, size))


def shared_range(payload: memoryview) -> tuple[int, int]:
    """Parse the payload of a SHARED frame: start and size. Raises `BrokenFrame`."""
    if len(payload) != _RANGE.size:
        raise BrokenFrame("a SHARED frame has another size")
    start, size = _RANGE.unpack(payload)
    return start, size


def cancellation(number: int) -> bytes:
    """Return the message that cancels utterance `number`, counted from 1."""
    return _NUMBER.pack(number)


def cancelled_number(data: bytes) -> int:
    """Parse a cancellation of `NUMBER_BYTES`."""
    number: int = _NUMBER.unpack(data)[0]
    return number


class Unpacker:
    """Splits a byte stream, fed in pieces of any size, into frames. A frame that arrives whole is not copied."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        """Pieces of an incomplete frame."""
        self.held_bytes = 0
        """Size of those pieces."""
        self._needed_bytes = HEADER_BYTES
        """Size of those pieces at which the frame's header, or the frame, is complete."""

    @property
    def missing_bytes(self) -> int:
        """Bytes missing until the header, or the frame, is complete."""
        return self._needed_bytes - self.held_bytes

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that `data` completes. Raises `BrokenFrame`."""
        if self._pieces:
            self._pieces.append(data)
            self.held_bytes += len(data)
            if self.held_bytes < self._needed_bytes:
                return
            data = b"".join(self._pieces)
        view, start, size = memoryview(data), 0, len(data)
        self._needed_bytes = HEADER_BYTES
        try:
            while size - start >= HEADER_BYTES:
                number, length = _HEADER.unpack_from(data, start)
                kind = _KINDS.get(number)
                if kind is None:
                    raise BrokenFrame(f"no frame begins with {number:#04x}")
                if length > (AUDIO_BYTES if kind is Kind.AUDIO else CONTROL_BYTES):
                    raise BrokenFrame(f"a {kind.name} frame of {length} bytes is too long")
                end = start + HEADER_BYTES + length
                if size < end:
                    self._needed_bytes = end - start
                    return
                payload = view[start + HEADER_BYTES : end]
                start = end
                yield kind, payload
        finally:
            self.held_bytes = size - start
            self._pieces = [data[start:]] if self.held_bytes else []
