"""The protocol of all stores."""

import re
import uuid
from dataclasses import dataclass
from typing import Protocol

KEY = re.compile(
    r"[a-z0-9][a-z0-9.-]{0,252}/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\.[a-z0-9]{1,5}"
)
"""`<tenant>/<uuid>.<extension>`: a key of any other form never reaches a file system."""
ANY_BYTES = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class StorageLimits:
    """Retention, and maximum size; the latter is for stores that do not limit it themselves."""

    retention_seconds: float
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Audio:
    """Stored audio, encoded."""

    content: bytes
    extension: str


def new_key(tenant: str, extension: str) -> str:
    """A random key under the tenant's prefix; it cannot be guessed."""
    return f"{tenant}/{uuid.uuid4()}.{extension}"


class Store(Protocol):
    """Stores audio by key for the retention time. A key that `KEY` does not match is never found."""

    limits: StorageLimits
    """May be replaced at any time."""

    async def keep(self, key: str, content: bytes, media_type: str = ANY_BYTES) -> None:
        """Store audio atomically: a concurrent reader sees all of it or nothing. Raises `StorageUnavailable`."""

    async def fetch(self, key: str) -> Audio | None:
        """The audio, or None if it has expired or never existed. Raises `StorageUnavailable`."""

    async def remove(self, key: str) -> None:
        """Delete the audio, if it exists. Raises `StorageUnavailable`."""

    def link(self, key: str, seconds: int) -> str | None:
        """A URL from which anyone can fetch the audio for so long; None if this server delivers the audio itself.

        Raises `StorageUnavailable`.
        """

    async def sweep(self) -> None:
        """Delete expired audio, and the oldest if there is too much. The work is bounded; the next sweep does the rest.

        Raises `StorageUnavailable`.
        """

    def close(self) -> None:
        """Release resources. No other method may be called afterwards."""
