"""What a store is."""

import re
import uuid
from dataclasses import dataclass
from typing import Protocol

KEY = re.compile(
    r"[a-z0-9][a-z0-9.-]{0,252}/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\.[a-z0-9]{1,5}"
)
"""`<tenant>/<uuid>.<extension>`: nothing else reaches a file system, whatever a link says."""
ANY_BYTES = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class StorageLimits:
    """How long audio is kept, and how much of it: the second one is for stores with a size of their own."""

    retention_seconds: float
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Audio:
    """What a link leads to."""

    content: bytes
    extension: str


def new_key(tenant: str, extension: str) -> str:
    """A key nobody can guess, under the tenant's prefix."""
    return f"{tenant}/{uuid.uuid4()}.{extension}"


class Store(Protocol):
    """Keeps audio by key, for a while. Keys that `KEY` does not match are never there."""

    limits: StorageLimits
    """They may change at any time."""

    async def keep(self, key: str, content: bytes, media_type: str = ANY_BYTES) -> None:
        """All or nothing, also for a reader at the same time. Raises `StorageUnavailable`."""

    async def fetch(self, key: str) -> Audio | None:
        """None once it is gone, or was never there. Raises `StorageUnavailable` where nobody can tell."""

    async def remove(self, key: str) -> None:
        """No more of it; nothing where it was not there. Raises `StorageUnavailable`."""

    def link(self, key: str, seconds: int) -> str | None:
        """Where whoever has the link fetches it for so long; None where this server itself hands audio out.

        Raises `StorageUnavailable`.
        """

    async def sweep(self) -> None:
        """Remove what is past its time, and the oldest of what is too much: bounded work, the rest comes next time.

        Raises `StorageUnavailable`.
        """

    def close(self) -> None:
        """No more calls."""
