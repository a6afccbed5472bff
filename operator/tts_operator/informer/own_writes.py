"""Tells the indexer what the operator itself has written, before any watch does: a reconcile reads its own writes."""

from collections.abc import Callable
from urllib.parse import unquote

import structlog

from tts_operator.informer.indexer import Change, Indexer
from tts_operator.objects.kinds import CHILDREN, KINDS, MODEL, NAMESPACE, POD, TENANT, Kind
from tts_operator.objects.manifest import Body

log = structlog.get_logger()

HELD: tuple[Kind, ...] = (TENANT, MODEL, NAMESPACE, POD, *(kind for kind in CHILDREN if kind.listed))
"""Kinds of which copies are held: not those that are read by name, such as Secrets."""
BY_PLURAL = {(kind.group, kind.plural): kind for kind in KINDS}
SCALE = "scale"


class OwnWrites:
    """Receives every successful write with its response, as `Cluster.stored`."""

    def __init__(self, indexer: Indexer, changed: Callable[[Change], None]) -> None:
        self._indexer = indexer
        self._changed = changed

    def stored(self, method: str, path: str, answer: Body) -> None:
        """Record the object that a write returned. Raises nothing: the write is done, whatever was returned."""
        try:
            self._record(method, path, answer)
        except Exception:  # the watch tells it
            log.exception("own write not recorded", path=path)

    def _record(self, method: str, path: str, answer: Body) -> None:
        target = target_of(path)
        if target is None:
            return
        kind, namespace, name, subresource = target
        change: Change | None = None
        if subresource == SCALE:
            self._indexer.expect(kind, namespace, name, str(answer["metadata"]["resourceVersion"]))
        elif method == "DELETE" and "deletionTimestamp" not in (answer.get("metadata") or {}):
            # A Status or, for some kinds, the object as it was: it is gone. Otherwise a finalizer holds it.
            whose = answer.get("metadata") or {} if answer.get("kind") == kind.name else answer.get("details") or {}
            change = self._indexer.removed(kind, namespace, name, str(whose.get("uid", "")))
        elif answer.get("kind") == kind.name:
            change = self._indexer.put(kind, answer)
        if change is not None:
            self._changed(change)


def target_of(path: str) -> tuple[Kind, str, str, str] | None:
    """Kind, namespace, name and subresource of a URL path; None for a kind that is not held."""
    parts = path.strip("/").split("/")
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = unquote(rest[1]), rest[2:]
    kind = BY_PLURAL.get((group, rest[0]))
    if kind not in HELD:
        return None
    name, subresource = (*(unquote(part) for part in rest[1:3]), "", "")[:2]
    return kind, namespace, name, subresource
