"""Values of lists and watches: what is asked for, and what comes back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tts_operator.cluster.paths import collection_path
from tts_operator.objects.kinds import Kind

CONNECT_SECONDS = 3.0
"""Longest time for the connection of a watch, seconds."""
GRACE_SECONDS = 2.0
"""Time after its end at which a watch is cut that the API server has not ended, seconds."""
OPENED = "OPENED"
"""First event of every watch: the API server accepted it."""


@dataclass(frozen=True)
class Collection:
    """Objects of a kind that are listed or watched together."""

    kind: Kind
    namespace: str = ""
    """Empty: all namespaces."""
    labels: str = ""
    """Label selector; empty: all objects."""
    metadata_only: bool = False

    @property
    def path(self) -> str:
        """URL path."""
        return collection_path(self.kind, self.namespace)

    @property
    def query(self) -> dict[str, str]:
        """Selectors as URL parameters."""
        return {"labelSelector": self.labels} if self.labels else {}

    def __str__(self) -> str:
        return f"{self.kind.plural}{f' in {self.namespace}' if self.namespace else ''}"


class Page(NamedTuple):
    """One page of a list."""

    items: Sequence[dict[str, Any]]
    version: str
    """resourceVersion of the whole list: a watch continues from there."""
    token: str
    """Token of the next page; empty on the last one."""
    size_bytes: int = 0
    """Size of the response."""


class WatchEvent(NamedTuple):
    """One event of a watch."""

    type: str
    """ADDED, MODIFIED, DELETED, BOOKMARK, or OPENED."""
    body: dict[str, Any]
    """The object; for a BOOKMARK it has a resourceVersion and nothing else, and for OPENED it is empty."""

    @property
    def version(self) -> str:
        """The resourceVersion that the watch has reached."""
        return str((self.body.get("metadata") or {}).get("resourceVersion") or "")
