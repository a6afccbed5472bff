"""What a store is."""

import re
import uuid
from dataclasses import dataclass
from typing import Protocol

KEY = re.compile(
    r"[a-z0-9][a-z0-9.-]{0,252}/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\.[a-z0-9]{1,5}"
)
"""`<tenant>/<uuid>.<extension>`: nothing else reaches a file system, whatever a link says."""


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

    async def keep(self, key: str, content: bytes) -> None:
        """All or nothing, also for a reader at the same time. Raises `StorageUnavailable`."""

    async def fetch(self, key: str) -> Audio | None:
        """None once it is gone, or was never there."""

    async def sweep(self) -> None:
        """Remove what is past its time, and the oldest of what is too much."""
