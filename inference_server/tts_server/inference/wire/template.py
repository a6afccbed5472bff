"""Packets between the server and a template, the process that forks workers: JSON, with descriptors beside it.

A request carries the worker's stdin, stdout and stderr, its pipe of cancellations and, if there is one, its shared
memory. Its reply carries a descriptor that becomes readable when the worker ends (pidfd).
"""

import json
from dataclasses import asdict, dataclass
from typing import Self

PACKET_BYTES = 4096
DESCRIPTORS = 5
"""Most descriptors of one packet."""


@dataclass(frozen=True, slots=True)
class _Packet:
    def packet(self) -> bytes:
        """Return the packet's content."""
        return json.dumps(asdict(self)).encode("ascii")

    @classmethod
    def parse(cls, packet: bytes) -> Self:
        """Return what `packet` holds."""
        return cls(**json.loads(packet))


@dataclass(frozen=True, slots=True)
class ForkRequest(_Packet):
    """Asks for a worker."""

    number: int
    """Number by which the reply is found."""
    batch_size: int
    """Size at which an engine that can batch is measured, see `worker/main.py`."""


@dataclass(frozen=True, slots=True)
class ForkReply(_Packet):
    """Names the process that a request got."""

    number: int
    pid: int | None = None
    """Process ID of the worker; None without a failure means that the engine has threads and cannot be forked."""
    loaded: bool = False
    """Whether the engine could be loaded; if not, the worker reports why, and ends."""
    failure: str = ""
    """Reason why the system could not fork; empty if it could."""


@dataclass(frozen=True, slots=True)
class WorkerEnd(_Packet):
    """Tells that a worker has ended."""

    ended_pid: int
    exit_code: int
    """Negative: the number of the signal that ended it."""


def parse_reply(packet: bytes) -> ForkReply | WorkerEnd:
    """Return what a template has sent."""
    content = json.loads(packet)
    return WorkerEnd(**content) if "ended_pid" in content else ForkReply(**content)
