"""Dependencies of a reading."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tts_operator.cluster.client import Cluster
from tts_operator.informer.reader import LiveReader, Reader
from tts_operator.observe.credential_files import StoreFiles
from tts_operator.observe.secret_reader import SecretReader
from tts_operator.settings import Settings


def new_token() -> str:
    """A random credential of 256 bits."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Sources:
    """Everything that a reading depends on besides the tenant's key and the time."""

    cluster: Cluster
    settings: Settings
    files: StoreFiles
    token: Callable[[], str] = new_token
    """Source of new credentials."""
    reader: Reader | None = None
    """Reader of everything but Secrets; None: every reading is a request."""

    @cached_property
    def secrets(self) -> SecretReader:
        """Reader of Secrets, which notes their versions: for one reconcile."""
        return SecretReader(self.cluster)

    @property
    def objects(self) -> Reader:
        """Reader of everything but Secrets."""
        return self.reader or LiveReader(self.cluster)


async def together(*reads: Awaitable[Any]) -> list[Any]:
    """Run several reads concurrently. If one fails, the others still end before its error is raised."""
    results = await asyncio.gather(*reads, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
