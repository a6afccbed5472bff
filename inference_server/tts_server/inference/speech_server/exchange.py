"""One utterance's exchange with a speech server: the seam between the engine client and a protocol."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue


@dataclass(frozen=True, slots=True)
class ServerConnection:
    """How to connect to a speech server, whatever its protocol is."""

    url: str
    api_key_file: Path | None = None
    ca_file: Path | None = None
    """CA certificates (PEM) trusted for https; None: the system's."""
    connect_timeout_seconds: float = 2.0
    refuse_local_addresses: bool = False
    """Whether a name that leads to an address of the pod or its node is refused."""


@dataclass(frozen=True, slots=True)
class SpeechCall:
    """One utterance to ask a speech server for, in its own names."""

    text: str
    model: str
    voice: str
    speed: float
    response_format: str
    sample_rate_hz: int
    fields: dict[str, JsonValue] = field(default_factory=dict)
    """Further fields of the request's body."""


@dataclass(frozen=True, slots=True)
class AnswerPart:
    """A part of an answer. The first one may be empty: it says that the answer has begun, and its content type."""

    data: bytes
    content_type: str = ""


class Exchange(Protocol):
    """Speaks the protocol of one speech server."""

    async def open(self) -> None:
        """Prepare for calls, without any connection yet. Raises `OSError` for CA certificates that cannot be read."""

    def call(self, call: SpeechCall) -> AsyncGenerator[AnswerPart]:
        """Yield the parts of the answer as they arrive, the first one at least. Raises `ServerFault`.

        `aclose()` ends the connection at once, so that the server can stop.
        """

    async def close(self) -> None:
        """Close every connection; calls under way fail. Safe to call twice."""
