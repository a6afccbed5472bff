"""The pipes between a worker and its parent: frames of one kind byte, a length of four bytes, and a payload.

parent -> worker   SPEAK (JSON: an utterance) on stdin, one at a time, and at most the next one before that has ended
worker -> parent   READY (JSON: `sample_rate_hz`, `voices`) once, then for each SPEAK: AUDIO (int16, little endian) any
                   number of times and DONE (empty), or ERROR (JSON: `kind`, `message`) in place of DONE. SHARED in
                   place of AUDIO: where the samples lie in memory that both have (`shared_sound.py`), and how many
                   bytes they are.
                   An ERROR in place of READY: the engine cannot load. READY may also say `passage_characters`
                   (see `Engine`), and of an engine that can batch: `voice_groups`, and how it was measured, `batch`
                   (`size`, `single_seconds`, `batch_seconds`).

Several utterances may be asked for at once: BATCH (JSON: `utterances`) takes SPEAK's place. Then AUDIO, DONE and ERROR
come inside of MEMBER frames, whose payload begins with the kind and the number of the utterance in its batch; a DONE
outside of one ends the batch. Cancellations count a batch's utterances one by one.

Another pipe to the worker is for what must be heard while it speaks: the number of the utterance, counted from 1, that
nobody listens to any more. An utterance that has ended cannot be meant by it.

A worker whose pipes end exits at once. Whatever else comes over them is a crash.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from enum import IntEnum

HEADER_BYTES = 5
PIPE_BYTES = 1_048_576
"""What the pipe to the parent holds, the most that Linux gives to everybody: where sound does not go through the shared
memory, a passage of 20 s leaves in one go, and its process is free for the next.
"""
AUDIO_BYTES = PIPE_BYTES - 2 * HEADER_BYTES
"""Largest AUDIO payload: with the DONE behind it, it fits into the pipe."""
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


SOUND = frozenset({Kind.AUDIO, Kind.SHARED})
"""What carries some."""

_HEADER = struct.Struct("<BI")
_MEMBER = struct.Struct("<BH")
_PLACE = struct.Struct("<II")
_NUMBER = struct.Struct("<Q")
NUMBER_BYTES = _NUMBER.size
_KINDS = {int(kind): kind for kind in Kind}

Frame = tuple[Kind, memoryview]
"""A kind and its payload."""


class BrokenFrame(ValueError):  # noqa: N818 - what happened
    """The bytes are no frame of this protocol."""


def header(kind: Kind, payload_bytes: int) -> bytes:
    """What goes before a payload of so many bytes."""
    return _HEADER.pack(kind, payload_bytes)


def frame(kind: Kind, payload: bytes = b"") -> bytes:
    """The bytes of one frame."""
    return header(kind, len(payload)) + payload


def json_frame(kind: Kind, content: Mapping[str, object]) -> bytes:
    """A frame with JSON in it; lone surrogates travel as escapes."""
    return frame(kind, json_payload(content))


def json_payload(content: Mapping[str, object]) -> bytes:
    """What `content_of` reads."""
    return json.dumps(content).encode("ascii")


def member_frame(kind: Kind, number: int, payload: bytes | memoryview = b"") -> list[bytes | memoryview]:
    """The pieces of a MEMBER frame: a frame of one utterance of a batch, counted from 0."""
    return [header(Kind.MEMBER, _MEMBER.size + len(payload)), _MEMBER.pack(kind, number), payload]


def member_of(payload: memoryview) -> tuple[Kind, int, memoryview]:
    """The inverse, of the payload. Raises `BrokenFrame`."""
    if len(payload) < _MEMBER.size:
        raise BrokenFrame("a MEMBER frame is too short")
    kind, number = _MEMBER.unpack_from(payload)
    if kind not in _KINDS:
        raise BrokenFrame(f"no member's frame begins with {kind:#04x}")
    return _KINDS[kind], number, payload[_MEMBER.size :]


def shared_frame(start: int, size: int) -> bytes:
    """Sound of `size` bytes that lie at `start` in the shared memory."""
    return frame(Kind.SHARED, _PLACE.pack(start, size))


def place_of(payload: memoryview) -> tuple[int, int]:
    """The inverse, of the payload. Raises `BrokenFrame`."""
    if len(payload) != _PLACE.size:
        raise BrokenFrame("a SHARED frame has another size")
    start, size = _PLACE.unpack(payload)
    return start, size


def content_of(payload: memoryview) -> dict[str, object]:
    """The JSON in a payload."""
    content: dict[str, object] = json.loads(bytes(payload))
    return content


def cancellation(number: int) -> bytes:
    """Nobody listens to utterance `number`."""
    return _NUMBER.pack(number)


def cancelled_number(data: bytes) -> int:
    """The inverse, of `NUMBER_BYTES`."""
    number: int = _NUMBER.unpack(data)[0]
    return number


class PipeEnded(Exception):  # noqa: N818 - what happened
    """No more frames come: the worker has ended, or the pipe was closed here."""


class Unpacker:
    """Takes whole frames off what a pipe brings, in pieces of any size. What comes whole is not copied."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        """Of a frame that has begun."""
        self.held_bytes = 0
        """Of those pieces."""
        self._wanted_bytes = HEADER_BYTES
        """How many of them make the next step: its header, or all of it."""

    @property
    def missing_bytes(self) -> int:
        """Until the next step, at least."""
        return self._wanted_bytes - self.held_bytes

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole now. Raises `BrokenFrame`."""
        if self._pieces:
            self._pieces.append(data)
            self.held_bytes += len(data)
            if self.held_bytes < self._wanted_bytes:
                return
            data = b"".join(self._pieces)
        view, start, size = memoryview(data), 0, len(data)
        self._wanted_bytes = HEADER_BYTES
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
                    self._wanted_bytes = end - start
                    return
                payload = view[start + HEADER_BYTES : end]
                start = end
                yield kind, payload
        finally:
            self.held_bytes = size - start
            self._pieces = [data[start:]] if self.held_bytes else []
